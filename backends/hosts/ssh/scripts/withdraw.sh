# Nothing ran here before: stops the service of a release and takes `current` away.

withdraw() {
    look_at_link || return
    result "previous $current"
    timeout_tool || return
    ! wanted_by_newer || return 76
    touched=yes
    if load_run "$qd_release"; then
        kept_answer=$answer
        stop_service "$qd_release" "$qd_seconds" || { answer=$kept_answer; output=; result "stop-failed $qd_release"; }
        ! wanted_by_newer || { result "current $current"; return 76; }
        running "$qd_release"
        [ $? -ne 0 ] || { refuse still "it runs after it was stopped"; return 1; }
    fi
    if [ "$current" = "$qd_release" ]; then
        rm -f "$qd_path/current" || { refuse failed "cannot remove $qd_path/current"; return 1; }
        current=
    fi
    result "current $current"
}

gate withdraw withdraw all
finish_answer $?
