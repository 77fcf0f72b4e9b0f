# A health check by a command of the fleet file, in the directory of the release.

check_command() { # the status of the command is wanted, not that of a pipe: its output goes through a variable
    timeout_tool || return
    [ -d "$qd_path/releases/$qd_release" ] || { refuse absent "$qd_release"; return 1; }
    load_run "$qd_release"
    [ -z "$run_slots" ] || slot_environment "$qd_release"
    check_text=$(in_release "$qd_release" "$qd_seconds" "$qd_command" 2>&1 </dev/null)
    result "exit $?"
    check_text=$(printf '%s' "$check_text" | tail -n 1)
    result "text $check_text"
}

check_command
finish_answer $?
