# What the slots hold, and what runs in them though it should not.

facts_slots() {
    look_at_slots || return
    for facts_slot in blue green; do
        eval "facts_in=\$in_$facts_slot"
        use_slot "$facts_slot" "${facts_in:-$current}" || { result "slot $facts_slot unknown $facts_in"; continue; }
        running "${facts_in:-$current}"
        case $? in 0) facts_state=running ;; 1) facts_state=no ;; *) facts_state=unknown ;; esac
        [ -z "$facts_in" ] && [ "$facts_state" != running ] || result "slot $facts_slot $facts_state $facts_in"
    done
}
