# Nothing ran here before, or is to run here any more: stops the service of a release and takes `current` away. qd_surely: not where the
# stop has failed and nobody can tell whether it runs.

withdraw() {
    look_at_link || return
    result "previous $current"
    timeout_tool || return
    ! wanted_by_newer || return 76
    touched=yes
    if load_run "$qd_release"; then
        kept_answer=$answer withdraw_refused=
        stop_service "$qd_release" "$qd_seconds" || { withdraw_refused=$answer; answer=$kept_answer; result "stop-failed $qd_release"; }
        ! wanted_by_newer || { output=; result "current $current"; return 76; }
        running "$qd_release"
        case $?$qd_surely in
        0*) output=; refuse still "it runs after it was stopped"; return 1 ;;
        2?*) [ -z "$withdraw_refused" ] || { answer=$withdraw_refused; return 1; } ;;
        esac
        [ -z "$withdraw_refused" ] || output=
    fi
    if [ "$current" = "$qd_release" ]; then
        rm -f "$qd_path/current" || { refuse failed "cannot remove $qd_path/current"; return 1; }
        current=
    fi
    result "current $current"
}

gate withdraw withdraw all
finish_answer $?
