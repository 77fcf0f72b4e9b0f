# A newer action does not wait for what an older one runs: a rollback, an abort or a deploy that supersedes another tells it to give
# way and ends its command, in the way in which the command's own limit would. The older action then ends by itself, lets go of the
# lock and begins nothing further. What may not be signalled (another user's) is waited for.
#
# A start or a stop is ended only by an action that then puts the service right itself; a hook by such a one and by a hook.
#
# at-work tells who has the lock and what that runs: epoch, operation, name, process of the script, process of the command.
# wanted tells who waits for the lock, as the fence does: epoch, holder, anchor.

tell_work() { # process of a command: in place and not by a rename, which would start a program. Untold, it is waited for
    { printf '%s\n' "$qd_epoch $qd_op $gate_name $$ $*" 1<>"$control/at-work"; } 2>/dev/null || :
}

announce() { # in the process that becomes a command: how a newer action finds it. Ends where one waits already
    QD_OP_ID=$qd_op # by which it is told from another process that has its number later
    export QD_OP_ID
    cd -P /proc/self 2>/dev/null && tell_work "${PWD##*/}"
    cd /
    # Told first, looked afterwards; who overtakes tells first as well. So one of the two sees the other.
    ! wanted_by_newer || exit 143
}

wanted_by_newer() { # sets wish, wish_holder
    read_wish && [ "$wish" -gt "$qd_epoch" ]
}

overtake() { # once a second while another action has the lock
    # Told every time: of two that tell it in the same moment, the older one's may be what is left.
    older_works && tell_wish || return 0
    older_works && work_is_there || return 0 # what it has begun before it could see that
    if [ "$work_process" != "$overtaken" ]; then
        overtaken=$work_process overtaken_for=0
        if [ -n "$work_keeps_lock" ]; then
            kill -TERM "$work_process" 2>/dev/null || : # the usual timeout, which ends all that it has begun, and kills it 5 s later
        else
            end_all TERM "$work_process" # busybox's becomes the command
        fi
        return 0
    fi
    overtaken_for=$((overtaken_for + 1))
    [ -n "$work_keeps_lock" ] || [ "$overtaken_for" -lt 5 ] || end_all KILL "$work_process"
}

older_works() { # sets work_*. Not one that does what this one is to do, for a worker that died: its outcome is waited for
    read_work || return 1
    case $work_epoch in '' | *[!0-9]*) return 1 ;; esac
    [ "$work_epoch" -lt "$qd_epoch" ] && [ "$work_op" != "$qd_op" ] || return 1
    case $gate_ends in all | "$work_name") ;; *) return 1 ;; esac
}

tell_wish() {
    if read_wish; then
        [ "$wish" -ne "$qd_epoch" ] || return 0
        [ "$wish" -lt "$qd_epoch" ] || return 1
    fi
    replace "$control/wanted" "$qd_epoch$newline$qd_holder$newline$qd_anchor$newline" 2>/dev/null
}

work_is_there() { # the process is what the holder of the lock says it is, and no other one with its number. Sets $work_keeps_lock
    work_keeps_lock=
    case $work_process in '' | *[!0-9]*) return 1 ;; esac
    # The number may have come round to a process that waits for the lock, too; and /proc may be another system's, with other numbers.
    { tr '\000' '\n' <"/proc/$work_process/environ" | grep -qxF "QD_OP_ID=$work_op"; } 2>/dev/null || return 1
    [ "/proc/$$/fd/9" -ef "$control/lock" ] || return 1
    if [ "/proc/$work_process/fd/9" -ef "$control/lock" ]; then
        work_keeps_lock=yes
        return 0
    fi
    case $work_script in '' | *[!0-9]*) return 1 ;; esac
    [ "/proc/$work_script/fd/9" -ef "$control/lock" ] || return 1
    { read -r work_stat <"/proc/$work_process/stat"; } 2>/dev/null || return 1
    set -- ${work_stat##*) }
    [ "$2" = "$work_script" ] # its parent
}

end_all() { # signal, process…: each before what it has begun, so that none goes on with its next command
    end_signal=$1
    shift
    while [ "$#" -gt 0 ]; do
        end_children=
        { read -r end_children <"/proc/$1/task/$1/children"; } 2>/dev/null || :
        kill "-$end_signal" "$1" 2>/dev/null || :
        shift
        set -- $end_children "$@"
    done
}
