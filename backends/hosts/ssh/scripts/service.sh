# Starting and stopping what a release runs. How is written in the release's own qd.run when it is staged, so that
# each release is stopped the way it was started.

load_run() { # release: sets run_*
    run_target='' run_version='' run_kind='' run_unit='' run_scope='' run_start='' run_stop='' run_restart='' run_status='' run_digest='' run_slots='' run_slot=''
    [ -r "$qd_path/releases/$1/qd.run" ] || return 1
    . "$qd_path/releases/$1/qd.run"
}

enter_release() { # release, seconds, command: becomes the command, in the release's directory with its environment
    # Only positional parameters from here: the environment of the release may use any name.
    # timeout keeps the lock's descriptor until the command ends, even when this script is killed; the command itself,
    # and what it leaves behind, has none.
    [ "$limit_lock" = keep ] || exec 9>&-
    set -- "$1" "$qd_path" "$run_target" "$run_version" "$qd_locale" "$qd_extra_env" \
        ${limit:+$limit "$2"} sh -c "exec 9>&-$newline$3"
    cd -- "$2/releases/$1" || exit 126
    if [ -n "$5" ]; then LC_ALL=$5; else unset LC_ALL; fi
    set -a
    if [ -r ./qd.env ]; then . ./qd.env; fi
    if [ -r ./qd.secrets.env ]; then . ./qd.secrets.env; fi
    QD_PATH=$2 QD_TARGET=$3 QD_RELEASE=$1 QD_VERSION=$4 QD_RELEASE_DIR=$2/releases/$1 QD_SHARED=$2/shared
    eval "$6"
    set +a
    shift 6
    exec "$@"
}

in_release() { # release, seconds, command: runs it in the release's directory with its environment
    ([ -z "$at_gate" ] || announce; enter_release "$@")
}

ended_by_limit() { # status of in_release
    case $1 in 124 | 137 | 143) return 0 ;; esac
    return 1
}

run_logged() { # release, seconds, word, command: output goes to the service's log, its end is shown when the command fails
    run_log=$qd_path/shared/log/service${run_slot:+.$run_slot}.log
    # With its time, as what the service itself prints may have none.
    run_line="${qd_clock:-$(date -u +%Y-%m-%dT%H:%M:%SZ)} --- quarterdeck: $3 $1 ($qd_op)"
    qd_clock= # it holds for what is run first
    [ -d "$qd_path/shared/log" ] || mkdir -p -- "$qd_path/shared/log"
    # A log that can't be written does not keep a service from being started or stopped.
    printf '%s\n' "$run_line" >>"$run_log" || { true >>"$run_log" || run_log=/dev/null; } 2>/dev/null
    in_release "$1" "$2" "$4" >>"$run_log" 2>&1 </dev/null
    run_result=$?
    [ "$run_result" -ne 0 ] || return 0
    grep -nF -- "$run_line" "$run_log" >"$control/.lines" 2>/dev/null
    run_first=$(tail -n 1 "$control/.lines")
    begin_output
    tail -n "+$((${run_first%%:*} + 1))" "$run_log" | tail -c 65536 >"$output"
    return "$run_result"
}

unit_control() { # argument…: systemctl, as another user only when that is what is missing
    if [ "$run_scope" = user ]; then
        set -- --user "$@"
        if [ -z "${XDG_RUNTIME_DIR-}" ]; then
            XDG_RUNTIME_DIR=/run/user/$(id -u)
            export XDG_RUNTIME_DIR
        fi
    fi
    unit_text=$([ -z "$at_gate" ] || announce; exec $limit "$unit_seconds" systemctl --no-ask-password "$@" 9>&- 2>&1 </dev/null)
    unit_result=$?
    [ "$unit_result" -ne 0 ] && [ "$run_scope" = system ] && [ "$(id -u)" != 0 ] || return "$unit_result"
    case $unit_text in *uthentication* | *uthoriz* | *ccess\ denied* | *ermission\ denied* | *ermitted*) ;; *) return "$unit_result" ;; esac
    have sudo || return 77
    unit_text=$unit_text$newline$([ -z "$at_gate" ] || announce; exec $limit "$unit_seconds" sudo -n systemctl "$@" 9>&- 2>&1 </dev/null) && return 0
    unit_result=$?
    case $unit_text in *sudo:*) return 77 ;; esac
    return "$unit_result"
}

unit_verb() { # verb, seconds
    need systemctl || return 1
    unit_seconds=$2
    unit_control "$1" "$run_unit"
    verb_result=$?
    [ "$verb_result" -ne 0 ] || return 0
    begin_output
    printf '%s\n' "$unit_text" >"$output"
    if [ "$verb_result" = 77 ]; then
        refuse sudo "systemctl $1 $run_unit"
    elif ended_by_limit "$verb_result"; then
        refuse timeout "$verb_result $2 systemctl $1 $run_unit"
    else
        unit_seconds=5
        unit_control status --no-pager --lines=10 "$run_unit"
        printf '%s\n' "$unit_text" >>"$output"
        refuse command "$verb_result systemctl $1 $run_unit"
    fi
    return 1
}

running() { # release, whose run_* are loaded. 0: it runs, 1: it does not, 2: that can't be told. Sets $running_words
    running_words=
    case $run_kind in
    unit)
        have systemctl || return 2
        unit_seconds=5
        unit_control show --property=ActiveState,SubState,MainPID "$run_unit" || return 2
        running_words=$(printf '%s ' $unit_text)
        case $unit_text in
        *SubState=auto-restart*) return 1 ;; # it has just ended, and systemd tries again
        *ActiveState=active* | *ActiveState=reloading* | *ActiveState=activating*) return 0 ;;
        *ActiveState=*) return 1 ;;
        *) return 2 ;;
        esac
        ;;
    commands)
        [ -n "$run_status" ] || return 2
        in_release "$1" 5 "$run_status" >/dev/null 2>&1 </dev/null
        running_result=$?
        [ "$running_result" -ne 0 ] || return 0
        ! ended_by_limit "$running_result" || return 2 # a status command that hangs tells nothing
        return 1
        ;;
    *) return 2 ;;
    esac
}

stop_service() { # release, whose run_* are loaded; seconds
    if [ "$run_kind" = unit ]; then
        unit_verb stop "$2"
    else
        run_logged "$1" "$2" stop "$run_stop" && return 0
        if ended_by_limit "$run_result"; then refuse timeout "$run_result $2 stop"; else refuse command "$run_result stop"; fi
    fi
}

start_service() { # release, whose run_* are loaded; seconds; word: start or restart
    start_state=
    if [ "$run_kind" = unit ]; then
        unit_verb restart "$2" # also brings in what `start` would leave: a unit that already runs with the old release
        return
    fi
    if [ "$3" = restart ]; then start_command=$run_restart; else start_command=$run_start; fi
    if [ -n "$qd_status_tells" ] && [ -n "$run_status" ]; then
        # The status in the same go, which starts two programs less: only where it has just been seen to answer, as both have one limit.
        printf '' >"$control/.state"
        start_command="($newline$start_command$newline) || exit$newline"'printf "started\n" >"$QD_PATH/.quarterdeck/.state"'"$newline("
        start_command="$start_command$newline$run_status$newline) >/dev/null 2>&1$newline"'printf "%s\n" "$?" >"$QD_PATH/.quarterdeck/.state"'
    fi
    run_logged "$1" "$2" "$3" "$start_command"
    [ -z "$qd_status_tells" ] || [ -z "$run_status" ] || read -r start_state <"$control/.state" || :
    [ "$run_result" -ne 0 ] && [ "$start_state" != started ] || return 0
    if ended_by_limit "$run_result"; then refuse timeout "$run_result $2 $3"; else refuse command "$run_result $3"; fi
}

await_running() { # release: read back, with a little patience for a service that has just been told to start
    running_words=
    ! wanted_by_newer || return 76
    case $start_state in
    0) result "service running "; return 0 ;;
    started) result "service unknown "; return 0 ;; # it was started, and then its status command told nothing
    esac
    await_tries=30
    while :; do
        running "$1"
        case $? in
        0) result "service running $running_words"; return 0 ;;
        2) result "service unknown $running_words"; return 0 ;;
        esac
        ! wanted_by_newer || return 76
        case $running_words in *ActiveState=failed*) break ;; esac
        await_tries=$((await_tries - 1))
        [ "$await_tries" -gt 0 ] || break
        sleep 0.1 2>/dev/null || { sleep 1; await_tries=$((await_tries - 9)); }
    done
    refuse stopped "$running_words"
}
