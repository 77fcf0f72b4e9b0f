# A bare command of the bastion's, with the rest of the standard input as its own. It does not outlive the time that is
# waited for it: a closed channel alone ends nothing.
if command -v timeout >/dev/null 2>&1; then
    exec timeout "$qd_seconds" sh -c "$qd_command"
fi
exec sh -c "$qd_command"
