# What a journal or files have got since a mark, at most qd_lines lines of each, and where they end now. Changes nothing.
# Of files the mark is "files INODE:BYTES …": one that was renamed is read on, and one that is new, or was emptied, from its beginning.
LC_ALL=C
export LC_ALL

lines_read() { # what to do with the last line (count, leave, cursor): answers with its input's lines, cut, and their number
    printf '%s output\n' "$qd_mark"
    awk -v most="$qd_lines" -v mark="$qd_mark" -v last="$1" '
    NR > 1 && NR <= most + 1 { print substr(held, 1, 2000) }
    { held = $0 }
    END {
        count = NR
        if (NR && (last == "leave" || (last == "cursor" && held ~ /^-- cursor: /))) {
            count--
            left = length(held)
        } else if (NR && NR <= most) print substr(held, 1, 2000)
        print mark " end-output"
        print mark " lines " count
        if (last == "leave") print mark " left " left + 0
        if (last == "cursor" && left) print mark " cursor " substr(held, 12)
    }'
}

lines_of_journal() {
    if [ "$qd_since" ]; then
        lines_scope=--unit
        [ "$qd_scope" != user ] || lines_scope=--user-unit
        for lines_unit in $qd_journal; do set -- "$@" "$lines_scope" "$lines_unit"; done # one of each slot
        [ -n "${XDG_RUNTIME_DIR-}" ] || { XDG_RUNTIME_DIR=/run/user/$(id -u); export XDG_RUNTIME_DIR; }
        journalctl --no-pager --quiet --output=cat --show-cursor --after-cursor="$qd_since" "$@" | lines_read cursor
    else
        journalctl --no-pager --quiet --output=cat --show-cursor --lines=1 | lines_read cursor
    fi
}

lines_of_file() { # file, inode, bytes that it has now
    lines_from=0
    case $qd_since in
    *" $2:"*)
        lines_from=${qd_since#*" $2:"}
        lines_from=${lines_from%% *}
        [ "$lines_from" -le "$3" ] || lines_from=0
        ;;
    '') lines_from=$3 ;;
    esac
    lines_last=count
    if [ "$3" -gt "$lines_from" ]; then
        # A line that is still being written is left for the next time.
        [ -z "$(tail -c "+$3" -- "$1" | head -c 1)" ] || lines_last=leave
        tail -c "+$((lines_from + 1))" -- "$1" | head -c "$(($3 - lines_from))" | lines_read "$lines_last"
    fi
    printf '%s file %s %s\n' "$qd_mark" "$2" "$3"
}

lines_of_files() {
    lines_known=
    eval "set -- $qd_files"
    for lines_pattern do
        case $lines_pattern in "~/"*) lines_pattern=$HOME/${lines_pattern#??} ;; esac
        lines_ifs=$IFS
        IFS=
        for lines_file in $lines_pattern; do
            IFS=$lines_ifs
            [ -f "$lines_file" ] || continue
            if ! [ -r "$lines_file" ]; then
                printf '%s unreadable %s\n' "$qd_mark" "$lines_file"
                continue
            fi
            lines_stat=$(stat -L -c '%i %s' -- "$lines_file") || continue # gone since
            case $lines_known in *" ${lines_stat% *} "*) continue ;; esac # a link, or two globs that name it
            lines_known="$lines_known ${lines_stat% *} "
            lines_of_file "$lines_file" "${lines_stat% *}" "${lines_stat#* }"
        done
        IFS=$lines_ifs
    done
}

if [ -n "$qd_journal" ]; then lines_of_journal; else lines_of_files; fi
printf '%s done 0\n' "$qd_mark"
