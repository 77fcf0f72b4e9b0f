# An operator's command where the current release runs, with the rest of the standard input as its own. What it prints
# begins behind a line of this script's, so that nothing which a shell says by itself is taken for it.

exec_in() {
    look_at_link || return
    [ -n "$current" ] || { refuse nothing "$qd_path"; return 1; }
    [ -d "$qd_path/releases/$current" ] || { refuse absent "$current"; return 1; }
    # On a terminal somebody sits there, and a time limit would take the terminal away from the command.
    if [ -n "$qd_terminal" ]; then limit='' limit_lock=drop; else timeout_tool || return; fi
    load_run "$current"
    [ -z "$run_slots" ] || slot_environment "$current"
    trap - HUP PIPE
    printf '%s begun\n' "$qd_mark"
    [ -z "$qd_terminal" ] || stty "$qd_tty" # as it was before this script was sent
    enter_release "$current" "$qd_seconds" "$qd_command"
}

exec_in
finish_answer $?
