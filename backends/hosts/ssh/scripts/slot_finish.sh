# What runs beside the current release is not removed either.

finish_beside_slots() {
    look_at_link && look_at_slots || return
    qd_keep=$qd_keep$newline$in_blue$newline$in_green
    finish_release
}

gate finish_beside_slots finish
finish_answer $?
