# Runs one command of the fleet file in a release's directory.

run_hook() {
    [ -d "$qd_path/releases/$qd_release" ] || { refuse absent "$qd_release"; return 1; }
    timeout_tool || return
    load_run "$qd_release"
    [ -z "$run_slots" ] || slot_environment "$qd_release"
    begin_output || { refuse_write "cannot write $output"; return 1; }
    ! wanted_by_newer || return 76
    touched=yes
    in_release "$qd_release" "$qd_seconds" "$qd_command" >"$output" 2>&1 </dev/null
    hook_status=$?
    [ "$hook_status" -eq 0 ] || ! wanted_by_newer || return 76
    result "exit $hook_status"
    ended_by_limit "$hook_status" && { refuse timeout "$hook_status $qd_seconds the command"; return 1; }
    return 0
}

gate run_hook hook hook
finish_answer $?
