# The last lines of a journal or of files, and with qd_follow what comes. Ends when its input closes, so that nothing is
# left behind when the connection goes.
logs_read() {
    if [ -n "$qd_journal" ]; then
        logs_scope=--unit
        if [ "$qd_scope" = user ]; then
            [ -n "${XDG_RUNTIME_DIR-}" ] || { XDG_RUNTIME_DIR=/run/user/$(id -u); export XDG_RUNTIME_DIR; }
            logs_scope=--user-unit
        fi
        for logs_unit in $qd_journal; do set -- "$@" "$logs_scope" "$logs_unit"; done # one of each slot
        [ -z "$qd_follow" ] || set -- "$@" --follow
        exec journalctl --no-pager --quiet --utc --output=short-iso --lines="$qd_lines" "$@"
    fi
    eval "set -- $qd_files"
    for logs_pattern in "$@"; do
        shift
        # The fleet file's globs: expanded here, names with spaces stay whole.
        case $logs_pattern in "~/"*) logs_pattern=$HOME/${logs_pattern#??} ;; esac
        logs_ifs=$IFS
        IFS=
        for logs_file in $logs_pattern; do
            [ ! -f "$logs_file" ] || set -- "$@" "$logs_file"
        done
        IFS=$logs_ifs
    done
    if [ "$#" = 0 ]; then
        printf '%s: no such file\n' "$qd_words" >&2
        return 1
    fi
    if [ -n "$qd_follow" ]; then exec tail -n "$qd_lines" -F "$@"; else exec tail -n "$qd_lines" "$@"; fi
}

if [ -z "$qd_follow" ]; then
    (logs_read) </dev/null
    exit $?
fi
exec 3<&0
logs_read </dev/null 3<&- &
logs_reader=$!
{
    cat <&3 >/dev/null
    kill "$logs_reader"
} >/dev/null 2>&1 &
exec 3<&-
wait "$logs_reader"
exit $?
