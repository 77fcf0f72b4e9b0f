# What systemd and the kernel tell of a unit. Changes nothing.
LC_ALL=C
export LC_ALL
if [ "$qd_scope" = user ]; then
    [ -n "${XDG_RUNTIME_DIR-}" ] || { XDG_RUNTIME_DIR=/run/user/$(id -u); export XDG_RUNTIME_DIR; }
    set -- --user
fi
systemctl --no-ask-password "$@" show --property=NRestarts,MemoryCurrent,MemoryMax,CPUUsageNSec,ControlGroup,LoadState "$qd_unit" |
    while IFS= read -r figures_line; do
        printf '%s unit %s\n' "$qd_mark" "$figures_line"
        case $figures_line in
        ControlGroup=/*)
            # Control groups of version 2 count; those of version 1 do not.
            figures_events=/sys/fs/cgroup${figures_line#ControlGroup=}/memory.events
            [ ! -r "$figures_events" ] || while read -r figures_name figures_count; do
                [ "$figures_name" != oom_kill ] || printf '%s oom %s\n' "$qd_mark" "$figures_count"
            done <"$figures_events"
            ;;
        esac
    done
while IFS= read -r figures_line; do
    case $figures_line in MemTotal:*) printf '%s memory %s\n' "$qd_mark" "$figures_line" ;; esac
done </proc/meminfo
printf '%s done 0\n' "$qd_mark"
