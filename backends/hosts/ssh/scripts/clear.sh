# The target goes from this host: releases, what they shared and what was known of them. Nothing of it may be current any more. The
# fence and the ledger stay, so that no old worker brings anything back.

clear_target() {
    look_at_link || return
    [ -z "$current" ] || { refuse still "$current is current and may run"; return 1; }
    ! wanted_by_newer || return 76
    touched=yes
    for clear_name in releases shared slots; do
        rm -rf -- "$qd_path/$clear_name" || { refuse failed "cannot remove $qd_path/$clear_name"; return 1; }
    done
    rm -f -- "$control/good" "$control/bad" || { refuse failed "cannot remove $control/good"; return 1; }
}

gate clear_target clear all
finish_answer $?
