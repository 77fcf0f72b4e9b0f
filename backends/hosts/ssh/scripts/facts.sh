# What this host says of a target. Changes nothing.

facts() {
    result "user $(id -un 2>/dev/null)"
    for facts_program in flock tar timeout; do
        have "$facts_program" || result "problem $facts_program is missing on the host"
    done
    checksum_tool || return
    timeout_tool || return
    result "limit $limit_lock $limit"
    facts_place=$qd_path
    while [ ! -d "$facts_place" ] && [ -n "$facts_place" ]; do facts_place=${facts_place%/*}; done
    facts_place=${facts_place:-/}
    [ -w "$facts_place" ] || result "problem $facts_place can't be written by this user"
    result "disk $(df -Pk -- "$facts_place" | { read -r facts_head; read -r facts_fs facts_size facts_used facts_free facts_rest; echo "$facts_free"; })"
    [ -d "$qd_path" ] || return 0
    check_facts_fence
    look_at_link || return
    result "current $current"
    for facts_word in good bad; do
        [ -f "$control/$facts_word" ] || continue
        while IFS= read -r facts_line; do result "$facts_word $facts_line"; done <"$control/$facts_word"
    done
    for facts_directory in "$qd_path"/releases/*/; do
        facts_directory=${facts_directory%/}
        [ -s "$facts_directory/qd.manifest.json" ] || continue
        if intact "$facts_directory"; then facts_state=intact; else facts_state=damaged; fi
        IFS= read -r facts_manifest <"$facts_directory/qd.manifest.json"
        result "kept ${facts_directory##*/} $facts_state $facts_manifest"
    done
    [ -n "$current" ] && load_run "$current" || eval "$qd_run"
    if [ "$run_kind" = unit ] && ! have systemctl; then result "problem systemctl is missing on the host"; fi
    [ -n "$current" ] && [ -d "$qd_path/releases/$current" ] || { result "service no"; return 0; }
    running "$current"
    case $? in
    0) result "service running" ;;
    1) result "service no" ;;
    *) result "service unknown" ;;
    esac
}

check_facts_fence() {
    if read_fence; then
        result "epoch $seen"
        result "holder $seen_holder"
        result "anchor $seen_anchor"
    else
        result "problem $control/epoch holds no number"
    fi
    return 0
}

facts
finish_answer $?
