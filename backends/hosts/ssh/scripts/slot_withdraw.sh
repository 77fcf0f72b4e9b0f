# Nothing ran here before, or is to run here any more: stops what runs of a release in the slots, and takes `current` away. qd_surely: of
# whichever release, and not where a stop has failed and nobody can tell whether it runs.

withdraw() {
    look_at_link || return
    result "previous $current"
    timeout_tool || return
    look_at_slots || return
    slots_by=$qd_release
    ! wanted_by_newer || return 76
    touched=yes
    for withdraw_one in green blue; do
        eval "withdraw_in=\$in_$withdraw_one"
        case $withdraw_in$qd_surely in '' | "$qd_release" | *yes) end_slot "$withdraw_one" "$((qd_seconds / 2 + 1))" || return ;; esac
    done
    if [ "$current" = "$qd_release" ]; then
        rm -f "$qd_path/current" || { refuse failed "cannot remove $qd_path/current"; return 1; }
        current=
    fi
    result "current $current"
}

gate withdraw withdraw all
finish_answer $?
