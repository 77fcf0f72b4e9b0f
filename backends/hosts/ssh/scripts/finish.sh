# Marks a release as good and others as bad, and removes old ones: never the current one, those that are to be kept, the last good one
# before it, and the newest qd_prune_to others. A removal that fails is told, and fails nothing.

finish_release() {
    look_at_link || return
    good=
    last_good=
    if [ -f "$control/good" ]; then
        while IFS= read -r line; do
            [ "$line" = "$qd_release" ] && [ "$qd_good" = yes ] && continue
            case "$newline$qd_bad$newline" in *"$newline$line$newline"*) continue ;; esac
            good=$good$line$newline
            [ "$line" = "$current" ] || [ "$line" = "$qd_release" ] || last_good=$line
        done <"$control/good"
    fi
    bad=
    if [ -f "$control/bad" ]; then
        while IFS= read -r line; do
            [ "$line" = "$qd_release" ] && [ "$qd_good" = yes ] && continue
            case "$newline$qd_bad$newline" in *"$newline$line$newline"*) continue ;; esac
            bad=$bad$line$newline
        done <"$control/bad"
    fi
    touched=yes
    if [ -n "$qd_bad" ] || [ -f "$control/bad" ]; then
        replace "$control/bad" "$bad${qd_bad:+$qd_bad$newline}" || { refuse_write "cannot write $control/bad"; return 1; }
    fi
    [ "$qd_good" = no ] || good=$good$qd_release$newline
    if [ "$qd_good" = yes ] || [ -n "$qd_bad" ]; then
        replace "$control/good" "$good" || { refuse_write "cannot write $control/good"; return 1; }
    fi
    [ "$qd_prune" = yes ] || return 0
    # What a shell can count tells whether there can be anything to remove; a program is started only then.
    set -- "$qd_path"/releases/*/qd.manifest.json
    [ "$#" -le "$qd_prune_to" ] || remove_old_releases
    # What was left by an upload that never ended, or a removal that was cut short.
    for file in "$qd_path"/releases/.staging-* "$qd_path"/releases/.removing-*; do
        [ -e "$file" ] || continue
        find "$qd_path/releases/." ! -name . -prune \( -name '.staging-*' -mtime +0 -o -name '.removing-*' \) -exec rm -rf {} +
        break
    done
    set -- "$control"/ops/*
    [ "$#" -le 200 ] || forget_old_operations
    return 0
}

remove_old_releases() {
    others=0
    # Newest first by when it was staged; names of releases hold no space and no line break.
    for file in $(ls -1t "$qd_path"/releases/*/qd.manifest.json 2>/dev/null | sed 's,/qd\.manifest\.json$,,; s,.*/,,'); do
        case "$newline$current$newline$qd_release$newline$last_good$newline$qd_keep$newline" in *"$newline$file$newline"*) continue ;; esac
        others=$((others + 1))
        [ "$others" -gt "$qd_prune_to" ] || continue
        # Renamed first: a removal that is cut short leaves no half release under a release's name.
        if mv -f "$qd_path/releases/$file" "$qd_path/releases/.removing-$file"; then
            rm -rf "$qd_path/releases/.removing-$file" && result "removed $file" || result "not-removed $file"
        else
            result "not-removed $file"
        fi
    done
}

forget_old_operations() { # all recorded outcomes but those of the newest 200 operations
    for file in $(ls -1t "$control/ops" 2>/dev/null | sed 's/\.out$//' | awk '!known[$0]++' | tail -n +201); do
        rm -f "$control/ops/$file" "$control/ops/$file.out"
    done
}
