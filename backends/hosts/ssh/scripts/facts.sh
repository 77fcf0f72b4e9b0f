# What this host says of a target. Changes nothing.

facts() {
    for facts_program in flock tar timeout; do
        have "$facts_program" || result "problem $facts_program is missing on the host"
    done
    checksum_tool || return
    # What this host logs of a switch has its own time: asked for now, while nobody waits.
    [ -z "$qd_switch_comes" ] || result "clock $(date +%s)"
    timeout_tool || return
    result "limit $limit_lock $limit"
    facts_place=$qd_path
    while [ ! -d "$facts_place" ] && [ -n "$facts_place" ]; do facts_place=${facts_place%/*}; done
    facts_place=${facts_place:-/}
    [ -w "$facts_place" ] || result "problem $facts_place can't be written by $(id -un)"
    {
        read -r facts_head
        read -r facts_fs facts_size facts_used facts_free facts_rest
    } <<END
$(df -Pk -- "$facts_place")
END
    result "disk $facts_free"
    [ -d "$qd_path" ] || return 0
    check_facts_fence
    ! facts_at_work || result "at-work $work_epoch $work_op $work_name"
    look_at_link || return
    result "current $current"
    for facts_word in good bad; do
        [ -f "$control/$facts_word" ] || continue
        while IFS= read -r facts_line; do result "$facts_word $facts_line"; done <"$control/$facts_word"
    done
    facts_releases
    [ -n "$current" ] && load_run "$current" || eval "$qd_run"
    if [ "$run_kind" = unit ] && ! have systemctl; then result "problem systemctl is missing on the host"; fi
    [ -n "$current" ] && [ -d "$qd_path/releases/$current" ] || { result "service no"; return 0; }
    if [ -n "$run_slots" ]; then
        if have facts_slots; then facts_slots; else result slots; fi
        return
    fi
    running "$current"
    case $? in
    0) result "service running" ;;
    1) result "service no" ;;
    *) result "service unknown" ;;
    esac
}

facts_releases() { # every complete release and whether its files are as they were written
    facts_sums='' facts_names='' facts_odd=''
    for facts_directory in "$qd_path"/releases/*/; do
        facts_directory=${facts_directory%/}
        [ -s "$facts_directory/qd.manifest.json" ] || continue
        facts_name=${facts_directory##*/}
        facts_names=$facts_names$facts_name$newline
        [ -s "$facts_directory/qd.sha256" ] || continue
        while IFS= read -r facts_line || [ -n "$facts_line" ]; do
            facts_sum=${facts_line%%  *}
            case $facts_sum in *[!0-9a-f]*) facts_odd=yes ;; esac
            [ "${#facts_sum}" -eq 64 ] || facts_odd=yes
            facts_sums="$facts_sums$facts_sum  $facts_name/${facts_line#*  }$newline"
        done <"$facts_directory/qd.sha256"
    done
    # One process for all releases; where something is not as it was written, each release is looked at by itself.
    facts_all=
    if [ "$checksum" != openssl_sha256 ] && [ -n "$facts_sums" ] && [ -z "$facts_odd" ]; then
        (cd -- "$qd_path/releases" && $checksum -c - >/dev/null 2>&1) <<END && facts_all=intact
${facts_sums%"$newline"}
END
    fi
    while [ -n "$facts_names" ]; do
        facts_name=${facts_names%%"$newline"*}
        facts_names=${facts_names#*"$newline"}
        facts_directory=$qd_path/releases/$facts_name
        if [ -n "$facts_all" ] && [ -s "$facts_directory/qd.sha256" ] || intact "$facts_directory"; then facts_state=intact; else facts_state=damaged; fi
        IFS= read -r facts_manifest <"$facts_directory/qd.manifest.json"
        result "kept $facts_name $facts_state $facts_manifest"
    done
}

facts_at_work() { # what is seen to run is not what an action that is under way leaves behind. Sets work_*
    read_work || return 1
    case $work_name in hook | finish) return 1 ;; esac
    for facts_process in "$work_script" "$work_process"; do
        case $facts_process in '' | *[!0-9]*) continue ;; esac
        [ ! "/proc/$facts_process/fd/9" -ef "$control/lock" ] || return 0
    done
    return 1
}

check_facts_fence() {
    # Not under the lock: what is read while it is written tells another thing the next time.
    facts_fence=
    while read_fence; do
        [ "$facts_fence" != "$seen $seen_holder $seen_anchor" ] || {
            result "epoch $seen"
            result "holder $seen_holder"
            result "anchor $seen_anchor"
            return 0
        }
        facts_fence="$seen $seen_holder $seen_anchor"
    done
    result "problem $control/epoch holds no number"
    return 0
}

facts
finish_answer $?
