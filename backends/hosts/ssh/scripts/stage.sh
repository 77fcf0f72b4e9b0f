# Puts a release on the host, beside the others and outside the lock. The archive follows this text on the standard input,
# after this script has said `send`; until then nothing is uploaded, so that a shell which reads ahead in its script takes
# nothing of it.

stage_prepare() {
    need tar || return
    checksum_tool || return
    open_control || return
    check_fence || return
    stage_home=$qd_path/releases/$qd_release
    if [ -d "$stage_home" ] && intact "$stage_home" && (load_run "$qd_release" && [ "$run_digest" = "$qd_digest" ]); then
        result already
        return 1
    fi
    if [ ! -d "$qd_path/releases" ] || [ ! -d "$qd_path/shared/log" ]; then
        mkdir -p -- "$qd_path/releases" "$qd_path/shared/log" || { refuse failed "cannot make $qd_path/releases"; return 1; }
    fi
    {
        read -r stage_head
        read -r stage_fs stage_size stage_used stage_free stage_rest
    } <<END
$(df -Pk -- "$qd_path/releases")
END
    case $stage_free in '' | *[!0-9]*) stage_free=$qd_need ;; esac
    [ "$stage_free" -ge "$qd_need" ] || { refuse space "$stage_free $qd_need"; return 1; }
    stage_new=$qd_path/releases/.staging-$qd_release-$qd_unique
    mkdir -- "$stage_new" "$stage_new/tree" || { refuse failed "cannot make $stage_new"; return 1; }
}

stage_receive() {
    cat >"$stage_new/archive" || { refuse_write "cannot write the archive"; return 1; }
    stage_sum=$($checksum "$stage_new/archive") || { refuse failed "cannot read the archive"; return 1; }
    stage_sum=${stage_sum%% *}
    [ "$stage_sum" = "$qd_sha256" ] || { refuse checksum "$stage_sum"; return 1; }
    # -o: files belong to the user who logs in, whatever the archive says.
    if ! tar -x $qd_compression -o -f "$stage_new/archive" -C "$stage_new/tree" 2>"$stage_new/tar"; then
        cat "$stage_new/tar" >&2
        refuse archive "$(tail -n 1 "$stage_new/tar")"
        return 1
    fi
    if [ -s "$stage_new/tar" ] && grep -iq 'removing leading\|contains .*\.\.\|unsafe' "$stage_new/tar"; then
        refuse archive "$(grep -i 'removing leading\|contains .*\.\.\|unsafe' "$stage_new/tar" | tail -n 1)"
        return 1
    fi
    find "$stage_new/tree" ! -type f ! -type d >"$stage_new/odd" || { refuse failed "cannot look through the release"; return 1; }
    while IFS= read -r stage_odd; do
        [ -L "$stage_odd" ] || { refuse archive "${stage_odd#"$stage_new/tree/"} is neither a file, a directory nor a link"; return 1; }
        stage_to=$(readlink "$stage_odd") && inside "${stage_odd#"$stage_new/tree/"}" "$stage_to" || {
            refuse archive "the link ${stage_odd#"$stage_new/tree/"} leads out of the release"
            return 1
        }
    done <"$stage_new/odd"
}

inside() { # path of a link in the tree, what it points to: it stays in the tree
    inside_rest=$2
    case $inside_rest in '' | /*) return 1 ;; esac
    inside_above=$1
    while :; do
        case $inside_rest in
        .. | ../*) # one level up: there must be a directory above
            case $inside_above in */*) inside_above=${inside_above#*/} ;; *) return 1 ;; esac
            [ "$inside_rest" != .. ] || return 0
            inside_rest=${inside_rest#../}
            ;;
        ./*) inside_rest=${inside_rest#./} ;;
        *) break ;;
        esac
    done
    # Up again after going down: where that leads depends on other links.
    case /$inside_rest/ in */../*) return 1 ;; esac
}

stage_place() {
    cd -- "$stage_new/tree" || return 1
    write_files || { refuse_write "cannot write the release's files"; return 1; }
    intact . || { refuse failed "the release's files are not as they were sent"; return 1; }
    cd / || return 1
    # mv would move a directory *into* one that another worker has put there since it was looked for: one at a time.
    take_lock "$control/staging" || return
    check_fence && stage_rename
    stage_renamed=$?
    exec 9>&-
    [ -z "$stage_old" ] || rm -rf "$stage_old"
    return "$stage_renamed"
}

stage_rename() {
    if [ -d "$stage_home" ]; then
        # Another worker was quicker with the same release; a damaged one is put aside.
        if intact "$stage_home" && (load_run "$qd_release" && [ "$run_digest" = "$qd_digest" ]); then
            result already
            return 1
        fi
        stage_old=$qd_path/releases/.removing-$qd_release-$qd_unique
        mv -f "$stage_home" "$stage_old" || { refuse failed "cannot move the damaged release aside"; return 1; }
    fi
    mv -f "$stage_new/tree" "$stage_home" || { refuse failed "cannot rename the release into place"; return 1; }
}

stage() {
    stage_prepare || return
    printf '%s send\n' "$qd_mark"
    stage_receive && stage_place
}

stage_new= stage_old=
stage
stage_status=$?
[ -z "$stage_new" ] || rm -rf "$stage_new"
finish_answer "$stage_status"
