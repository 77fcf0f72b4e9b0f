# Points `current` at a release and starts it, and says what is there afterwards. qd_verb: restart, start, stop or none.

change() {
    look_at_link || return
    previous=$current
    result "previous $previous"
    timeout_tool || return
    # What runs in slots is moved by another script.
    [ -z "$current" ] || ! load_run "$current" || [ -z "$run_slots" ] || { result slots; return 1; }
    if [ "$qd_verb" = stop ]; then
        [ -n "$current" ] && load_run "$current" || load_run "$qd_release" || { result "current $current"; return 0; }
        ! wanted_by_newer || return 76
        touched=yes
        stop_service "${current:-$qd_release}" "$qd_seconds" || return
        result "current $current"
        running "${current:-$qd_release}"
        [ $? -ne 0 ] || { refuse still "it runs after it was stopped"; return 1; }
        return 0
    fi
    kept_and_intact "$qd_release" || return
    renew_secrets || return
    before=
    if [ "$qd_verb" = restart ] && [ -n "$previous" ] && load_run "$previous"; then
        before="$run_kind $run_unit $run_scope $run_stop $run_restart"
    fi
    load_run "$qd_release" || { refuse damaged "release $qd_release has no qd.run"; return 1; }
    prepare_link "$qd_release" || return
    ! wanted_by_newer || return 76
    touched=yes
    stopped=
    verb=start
    left=$qd_seconds
    if [ -n "$before" ]; then
        if [ "$before" != "$run_kind $run_unit $run_scope $run_stop $run_restart" ] || [ "$run_kind$run_restart" = commands ]; then
            # The one that runs is stopped in its own way. A broken release must not stand in the way of the one before it:
            # what it answers is noted, and the way is gone on.
            load_run "$previous"
            stopped=yes
            stop_seconds=$((left / 3 + 1))
            kept_answer=$answer
            stop_service "$previous" "$stop_seconds" || { answer=$kept_answer; output=; result "stop-failed $previous"; }
            # What is stopped stays so: a newer action waits for the host, and puts there what it wants.
            ! wanted_by_newer || { result "current $current"; return 76; }
            load_run "$qd_release"
            left=$((left - stop_seconds + 2))
        elif [ "$run_kind" = commands ]; then
            verb=restart
        fi
    fi
    point_link || {
        if [ -n "$stopped" ] && load_run "$previous"; then start_service "$previous" "$left" start; fi
        return 1
    }
    verb_status=0
    if [ "$qd_verb" != none ]; then
        start_service "$qd_release" "$left" "$verb" && await_running "$qd_release"
        verb_status=$?
    fi
    look_at_link || return
    result "current $current"
    [ "$current" = "$qd_release" ] || { refuse failed "current points to $current after the switch"; return 1; }
    return "$verb_status"
}

gate change "$qd_verb" all
finish_answer $?
