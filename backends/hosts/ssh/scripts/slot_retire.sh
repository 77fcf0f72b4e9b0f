# What runs beside the current release becomes current, and the one before it is stopped. `current` first: killed in between, what serves
# runs, and what should not is ended by the next action.

retire() {
    look_at_link || return
    result "previous $current"
    timeout_tool || return
    look_at_slots || return
    load_run "$qd_release" && [ "$run_digest" = "$qd_digest" ] || { refuse damaged "release $qd_release is not as it was staged"; return 1; }
    slots_by=$qd_release
    if [ "$qd_release" != "$current" ]; then
        serving=
        [ "$in_green" != "$qd_release" ] || serving=green
        [ "$in_blue" != "$qd_release" ] || serving=blue
        [ -n "$serving" ] && use_slot "$serving" "$qd_release" && {
            running "$qd_release"
            [ $? -ne 1 ]
        } || { refuse not-beside "$qd_release"; return 1; }
        prepare_link "$qd_release" || return
        ! wanted_by_newer || return 76
        touched=yes
        point_link || return
    fi
    look_at_link || return
    result "current $current"
    [ -n "$serving" ] || return 0
    ! wanted_by_newer || return 76
    touched=yes
    other_slot "$serving"
    end_slot "$other" "$((qd_seconds / 2 + 1))" || return
    # Read back at the end: a release that has ended meanwhile serves nobody.
    use_slot "$serving" "$qd_release" && start_state= && await_running "$qd_release" && result "slot $serving"
}

gate retire retire all
finish_answer $?
