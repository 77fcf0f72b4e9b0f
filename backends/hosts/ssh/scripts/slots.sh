# Two instances of a service beside each other. Each runs in a slot, blue or green, with a port of its own. slots/<slot> is a link to the
# release that is to run there, and is there for as long as it is to: what starts after a reboot is what ran before it. The slot of the
# current release serves.

slots_extra=$qd_extra_env
left=${qd_seconds-} # for what is still to be done

look_at_slots() { # sets in_blue and in_green to their releases, and serving to the slot of the current one. Empty: none
    serving=
    for slots_one in green blue; do
        slots_found=
        if [ -L "$qd_path/slots/$slots_one" ]; then
            if cd -P -- "$qd_path/slots/$slots_one" 2>/dev/null; then
                slots_found=$PWD
                cd -- "$qd_path" || return 1
            else
                slots_found=$(readlink "$qd_path/slots/$slots_one")
            fi
            slots_found=${slots_found%/}
            slots_found=${slots_found##*/}
        elif [ -e "$qd_path/slots/$slots_one" ]; then
            refuse damaged "$qd_path/slots/$slots_one is not a link"
            return 1
        fi
        eval "in_$slots_one=\$slots_found"
        [ -z "$current" ] || [ "$slots_found" != "$current" ] || serving=$slots_one
    done
}

other_slot() { # slot: sets $other
    case $1 in blue) other=green ;; *) other=blue ;; esac
}

use_slot() { # slot, release: sets run_* for the release's instance in that slot
    load_run "$2" && [ -n "$run_slots" ] || return 1
    run_slot=$1
    case $run_unit in *@.*) run_unit=${run_unit%@.*}@$1.${run_unit##*@.} ;; esac
    # Read last: its port is the instance's own, whatever the release says for both.
    qd_extra_env="[ ! -r ./qd.$1.env ] || . ./qd.$1.env$newline$slots_extra"
}

use_no_slot() { # release
    qd_extra_env=$slots_extra
    load_run "$1"
}

end_slot() { # slot, seconds, whether its link is to stay: stops what runs in it, and reads that back
    eval "end_by=\$in_$1"
    end_linked=$end_by
    use_slot "$1" "$end_by" || { end_by=$slots_by; use_slot "$1" "$end_by"; } || {
        [ -z "$end_linked" ] || { refuse damaged "how slot $1 is stopped is not known: release $end_linked has no qd.run"; return 1; }
        return 0
    }
    if [ -z "$end_linked" ]; then
        running "$end_by"
        [ $? -eq 0 ] || return 0 # else somebody has started it by hand
    fi
    left=$((left - $2 + 2))
    end_answer=$answer end_refused=
    stop_service "$end_by" "$2" || end_refused=$answer
    # What is stopped stays so: a newer action waits for the host, and puts there what it wants.
    ! wanted_by_newer || { answer=$end_answer; return 76; }
    running "$end_by"
    end_runs=$?
    [ "$end_runs" -ne 2 ] || [ -z "$end_refused" ] || [ -z "$qd_surely" ] || return 1
    if [ "$end_runs" -eq 0 ]; then
        [ -n "$end_refused" ] || refuse still "slot $1 runs after it was stopped"
        return 1
    fi
    # A broken release must not stand in the way of another: what runs no more is stopped, whatever it said of that.
    [ -z "$end_refused" ] || { answer=$end_answer; output=; result "stop-failed $end_by"; }
    [ -z "${3-}" ] || return 0
    rm -f "$qd_path/slots/$1" || { refuse failed "cannot remove $qd_path/slots/$1"; return 1; }
    eval "in_$1="
}

end_slots() { # seconds for each
    end_slot blue "$1" && end_slot green "$1"
}

prepare_slot() { # release: what needs room on the disk, before anything is stopped
    # The old one first: it leads to a directory, and ln would make the new one in there.
    rm -f "$control/slot.new" && mkdir -p -- "$qd_path/slots" && ln -s "../releases/$1" "$control/slot.new" || {
        refuse failed "cannot make the link of a slot"
        return 1
    }
}

place_slot() { # slot that has no link: gets the prepared one
    mv -f "$control/slot.new" "$qd_path/slots/$1" || { refuse failed "cannot make $qd_path/slots/$1"; return 1; }
}

start_in_slot() { # slot, release, seconds, word: starts it there and reads it back
    use_slot "$1" "$2" || { refuse damaged "release $2 has no qd.run"; return 1; }
    start_service "$2" "$3" "$4" && await_running "$2" || return
    result "slot $1"
}
