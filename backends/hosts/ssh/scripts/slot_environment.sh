# What is run for a release that runs in a slot has that slot's environment too.

slot_environment() { # release
    for slot_one in green blue; do
        [ "$qd_path/slots/$slot_one" -ef "$qd_path/releases/$1" ] || continue
        qd_extra_env="[ ! -r ./qd.$slot_one.env ] || . ./qd.$slot_one.env$newline$qd_extra_env"
        return 0
    done
}
