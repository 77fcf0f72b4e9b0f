# The same for a service with slots: a release that is not current is started in the free slot, beside the one that serves, which stays
# current (see slot_retire). Also takes a service out of its slots, for a release that knows none.

change() {
    look_at_link || return
    previous=$current
    result "previous $previous"
    timeout_tool || return
    look_at_slots || return
    slots_by=$qd_release
    if [ "$qd_verb" = stop ]; then
        stop_slots
    else
        kept_and_intact "$qd_release" && renew_secrets || return
        slots_wanted=$run_slots
        if [ -z "$run_slots" ]; then change_to_none
        elif [ "$qd_release" = "$current" ]; then change_in_place
        elif [ "$qd_verb" = restart ] && [ -n "$serving" ] && load_run "$current" && [ "$run_slots" = "$slots_wanted" ]; then change_beside
        else change_places
        fi
    fi
    change_status=$?
    look_at_link || return
    result "current $current"
    return "$change_status"
}

stop_slots() { # the link of the one that serves stays, as `current` does
    if [ -n "$current" ] && load_run "$current" && [ -z "$run_slots" ]; then
        ! wanted_by_newer || return 76
        touched=yes
        stop_service "$current" "$qd_seconds" || return
        running "$current"
        [ $? -ne 0 ] || { refuse still "it runs after it was stopped"; return 1; }
        return 0
    fi
    [ -z "$current" ] || slots_by=$current
    ! wanted_by_newer || return 76
    touched=yes
    for stop_one in green blue; do
        stop_keeps=
        [ "$stop_one" != "$serving" ] || stop_keeps=yes
        end_slot "$stop_one" "$((qd_seconds / 2 + 1))" "$stop_keeps" || return
    done
}

change_in_place() { # it is current: what was started beside it goes, and it is started where it does not run
    [ "$qd_verb" != none ] || { touched=yes; return 0; }
    [ -n "$serving" ] || prepare_slot "$qd_release" || return
    ! wanted_by_newer || return 76
    touched=yes
    if [ -z "$serving" ]; then
        end_slots "$((qd_seconds / 3 + 1))" && place_slot blue || return
        start_in_slot blue "$qd_release" "$left" start
        return
    fi
    other_slot "$serving"
    end_slot "$other" "$((qd_seconds / 3 + 1))" || return
    use_slot "$serving" "$qd_release"
    running "$qd_release"
    in_place=$? verb=restart
    case $in_place$answer in
    1*) verb=start ;;
    0*secrets-renewed*) ;;
    0*)
        # The one that serves is left alone: nobody can be led to another one meanwhile.
        result "service running $running_words"
        result "slot $serving"
        return 0
        ;;
    esac
    if [ "$run_kind$verb$run_restart" = commandsrestart ]; then
        end_slot "$serving" "$((qd_seconds / 3 + 1))" yes || return
        verb=start
    fi
    start_in_slot "$serving" "$qd_release" "$left" "$verb"
}

change_beside() {
    other_slot "$serving"
    eval "beside=\$in_$other"
    ! wanted_by_newer || return 76
    touched=yes
    if [ "$beside" = "$qd_release" ]; then
        # Begun by a worker that died: it runs by now, or it does not.
        use_slot "$other" "$qd_release"
        running "$qd_release"
        case $?$answer in
        0*secrets-renewed*) ;;
        0*)
            result "service running $running_words"
            result "slot $other"
            result beside
            return 0
            ;;
        esac
        end_slot "$other" "$((qd_seconds / 3 + 1))" yes || return
    else
        end_slot "$other" "$((qd_seconds / 3 + 1))" || return
        ln -s "../releases/$qd_release" "$qd_path/slots/$other" || { refuse failed "cannot make $qd_path/slots/$other"; return 1; }
    fi
    start_in_slot "$other" "$qd_release" "$left" start && result beside
}

change_places() { # nothing serves in a slot, or it has other ports, perhaps the new one's: what runs is stopped first
    loose=
    if [ -n "$previous" ] && load_run "$previous" && [ -z "$run_slots" ]; then loose=$previous; fi
    prepare_link "$qd_release" && prepare_slot "$qd_release" || return
    ! wanted_by_newer || return 76
    touched=yes
    if [ "$qd_verb" != none ]; then
        if [ -n "$loose" ] && [ "$qd_verb" = restart ]; then
            change_answer=$answer left=$((left - qd_seconds / 3))
            stop_service "$loose" "$((qd_seconds / 3 + 1))" || { answer=$change_answer; output=; result "stop-failed $loose"; }
            ! wanted_by_newer || return 76
        fi
        end_slots "$((qd_seconds / 3 + 1))" || return
    fi
    # `current` before the slot's link: what is current and in no slot is put into one by the next switch.
    point_link || {
        if [ -n "$loose" ] && use_no_slot "$loose"; then start_service "$loose" "$left" start; fi
        return 1
    }
    [ "$qd_verb" != none ] || return 0
    place_slot blue && start_in_slot blue "$qd_release" "$left" start
}

change_to_none() { # of a release from before there were slots, or after them
    slots_by=$previous
    prepare_link "$qd_release" || return
    ! wanted_by_newer || return 76
    touched=yes
    [ "$qd_verb" = none ] || end_slots "$((qd_seconds / 3 + 1))" || return
    use_no_slot "$qd_release"
    point_link || return
    [ "$qd_verb" != none ] || return 0
    start_service "$qd_release" "$left" start && await_running "$qd_release"
}

gate change "$qd_verb" all
finish_answer $?
