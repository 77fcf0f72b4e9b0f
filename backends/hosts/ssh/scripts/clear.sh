# The target goes from this host: releases, what they shared and what was known of them. Nothing of it may be current any more, or in
# a slot. The
# fence and the ledger stay, so that no old worker brings anything back.

clear_target() {
    look_at_link || return
    [ -z "$current" ] || { refuse still "$current is current and may run"; return 1; }
    for clear_slot in blue green; do
        [ -L "$qd_path/slots/$clear_slot" ] || continue
        clear_held=$(readlink "$qd_path/slots/$clear_slot")
        refuse still "slot $clear_slot holds ${clear_held##*/}, which may run"
        return 1
    done
    ! wanted_by_newer || return 76
    touched=yes
    for clear_name in releases shared slots; do
        rm -rf -- "$qd_path/$clear_name" || { refuse failed "cannot remove $qd_path/$clear_name"; return 1; }
    done
    rm -f -- "$control/good" "$control/bad" || { refuse failed "cannot remove $control/good"; return 1; }
}

gate clear_target clear all
finish_answer $?
