# The gate: nothing changes on this host for the target but through it. One at a time (flock), never for an old epoch,
# never twice for the same operation. Status 76: fenced, 75: the lock is held.

open_control() {
    if [ ! -d "$control/ops" ]; then
        mkdir -p -- "$qd_path" || { refuse failed "cannot make $qd_path"; return 1; }
        # In a directory that a group may write, two SSH users of it must be able to exclude each other.
        case $(ls -ld -- "$qd_path") in ?????w*) umask 002; open_shared=g+ws ;; *) open_shared=go-w ;; esac
        mkdir -p -- "$control/ops" && chmod "$open_shared" "$control" "$control/ops" || {
            refuse failed "cannot make $control"
            return 1
        }
    fi
    [ ! -g "$control" ] || umask 002
}

begin_output() { # makes the file for what a command prints, which may be a secret: for those alone who may read the secrets, too
    output=$control/.output
    if [ -g "$control" ]; then umask 007; else umask 077; fi
    rm -f -- "$output" && true >"$output"
    begin_result=$?
    if [ -g "$control" ]; then umask 002; else umask 022; fi
    return "$begin_result"
}

take_lock() { # file, function to call while another one has it: held on descriptor 9 until that is closed by all who have it
    need flock || return 1
    true >>"$1" || { refuse_write "cannot write $1"; return 1; }
    exec 9>>"$1"
    flock -n 9 && return 0
    lock_waits=
    if flock --version 2>/dev/null | grep -q util-linux; then lock_waits=yes; fi
    lock_left=$qd_wait
    qd_clock= # what the bastion knew of this host's time is older than it was meant to be
    while [ "$lock_left" -gt 0 ]; do
        ${2-}
        await_lock && return 0
        lock_left=$((lock_left - 1))
    done
    read_fence || :
    result "busy $lock_holder"
    return 75
}

await_lock() { # a second at most
    if [ -n "$lock_waits" ]; then
        flock -w 1 9
        return
    fi
    lock_tries=5
    while [ "$lock_tries" -gt 0 ]; do
        sleep 0.2 2>/dev/null || { sleep 1; lock_tries=1; }
        flock -n 9 && return 0
        lock_tries=$((lock_tries - 1))
    done
    return 1
}

read_fence() { # sets seen, seen_holder, seen_anchor, and seen_wish where a newer action has only asked for the host so far
    seen=0 seen_holder='' seen_anchor='' seen_wish=
    if [ -s "$control/epoch" ]; then
        {
            IFS= read -r seen
            IFS= read -r seen_holder
            IFS= read -r seen_anchor
        } <"$control/epoch"
        case $seen in '' | *[!0-9]*) return 1 ;; esac
    fi
    lock_holder=$seen_holder # a wish holds no lock
    if read_wish && [ "$wish" -gt "$seen" ]; then
        seen=$wish seen_holder=$wish_holder seen_anchor=$wish_anchor seen_wish=yes
    fi
    return 0
}

read_wish() { # sets wish, wish_holder, wish_anchor: who waits for the lock, or has got it since
    [ -s "$control/wanted" ] || return 1
    {
        IFS= read -r wish
        IFS= read -r wish_holder
        IFS= read -r wish_anchor
    } <"$control/wanted"
    case $wish in '' | *[!0-9]*) return 1 ;; esac
}

read_work() { # sets work_*: who has the lock, or had it last, and what that runs (see overtaking)
    [ -s "$control/at-work" ] || return 1
    read -r work_epoch work_op work_name work_script work_process <"$control/at-work"
}

check_fence() {
    read_fence || { refuse damaged "$control/epoch holds no number"; return 1; }
    [ "$qd_epoch" -ge "$seen" ] && return 0
    result "fenced $seen $seen_holder"
    return 76
}

replace() { # file, content: by rename, never half
    printf '%s' "$2" >"$1.new" && mv -f "$1.new" "$1"
}

overwrite() { # file, content of a few hundred bytes: in place, which starts no program
    # One write into a block that the file has already: it is there whole or not at all. What a longer text from before leaves behind
    # the new one's end is read by nobody. bash writes line by line, and a file of another user may only be replaced.
    [ -z "${BASH_VERSION-}" ] && [ -s "$1" ] && { printf '%s' "$2" 1<>"$1"; } 2>/dev/null || replace "$1" "$2"
}

note() { # word…: a line of the ledger, which tells every action that was ever executed here
    printf '%s\n' "$qd_time $*" >>"$control/ledger"
}

gate() { # function, its name in the ledger, whose commands it ends where it is newer: of all, of another such one (its name), or none
    gate_name=$2 gate_ends=${3:-nothing}
    untouched=yes # and told so, where it is refused before it changed anything
    open_control && take_lock "$control/lock" overtake || return
    check_fence || return
    if [ "$seen$seen_wish" != "$qd_epoch" ] || [ "$seen_holder" != "$qd_holder" ] || [ "$seen_anchor" != "$qd_anchor" ]; then
        overwrite "$control/epoch" "$qd_epoch$newline$qd_holder$newline$qd_anchor$newline" || {
            refuse_write "cannot write $control/epoch"
            return 1
        }
    fi
    gate_record=$control/ops/$qd_op
    if [ -s "$gate_record" ] && gate_replay; then untouched=; return "$gate_status"; fi
    # Room for the outcome, before anything is changed that could not be recorded: on a full disk all else may still find some.
    printf 'begun\n' >"$gate_record" || { refuse_write "cannot write $gate_record"; return 1; }
    at_gate=yes
    tell_work
    note "begin $qd_op $qd_epoch $2 $qd_release" || { refuse_write "cannot write $control/ledger"; return 1; }
    gate_before=$answer
    answer=
    touched=
    "$1"
    gate_status=$?
    if [ "$gate_status" -ne 0 ] && wanted_by_newer; then
        result "fenced $wish $wish_holder"
        [ -z "$touched" ] || result half-way
        gate_status=76
    fi
    # An action that was refused before it touched anything may be tried again under the same name.
    if [ -n "$touched" ]; then untouched=; gate_record_action || result unrecorded; fi
    answer=$gate_before$answer
    note "end $qd_op $qd_epoch $2 $qd_release $gate_status" || result unrecorded
    return "$gate_status"
}

gate_replay() { # the recorded outcome, if it was written to its end: one that was cut short does not count
    gate_before=$answer
    gate_line=
    result replayed
    while IFS= read -r gate_line; do
        case $gate_line in
        status\ *) gate_status=${gate_line#status } ;;
        complete) ;;
        # A newer one ended it half-way, and this one is newer than that: what it began is taken to its end now.
        fenced\ *) answer=$gate_before; return 1 ;;
        *) result "$gate_line" ;;
        esac
        gate_last=$gate_line
    done <"$gate_record"
    if [ "$gate_last" != complete ]; then
        answer=$gate_before
        return 1
    fi
    output=$gate_record.out
}

gate_record_action() { # the outcome of this operation, which is given again when it is asked for again
    if [ -n "$output" ] && [ -f "$output" ]; then
        mv -f "$output" "$gate_record.out" && output=$gate_record.out || return 1
    fi
    gate_text="status $gate_status$newline"
    gate_rest=$answer
    while [ -n "$gate_rest" ]; do
        gate_line=${gate_rest%%"$newline"*}
        gate_rest=${gate_rest#*"$newline"}
        gate_text=$gate_text${gate_line#"$qd_mark "}$newline
    done
    # Read under the lock only, and only when its last line is there: as safe as a rename, and one program less to start. Into the
    # room that it has, and longer than what that holds.
    printf '%scomplete\n' "$gate_text" 1<>"$gate_record"
}
