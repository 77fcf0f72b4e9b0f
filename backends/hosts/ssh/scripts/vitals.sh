# Load, memory, disk and uptime. Changes nothing and starts only df.
LC_ALL=C
export LC_ALL
IFS= read -r vitals_load </proc/loadavg
printf '%s load %s\n' "$qd_mark" "$vitals_load"
IFS= read -r vitals_uptime </proc/uptime
printf '%s uptime %s\n' "$qd_mark" "$vitals_uptime"
vitals_cores=0
while IFS= read -r vitals_line; do
    case $vitals_line in
    cpu[0-9]*) vitals_cores=$((vitals_cores + 1)) ;;
    cpu\ *) printf '%s cpu %s\n' "$qd_mark" "${vitals_line#cpu}" ;;
    intr*) break ;;
    esac
done </proc/stat
printf '%s cores %s\n' "$qd_mark" "$vitals_cores"
while IFS= read -r vitals_line; do
    case $vitals_line in MemTotal:* | MemFree:* | MemAvailable:*) printf '%s memory %s\n' "$qd_mark" "$vitals_line" ;; esac
done </proc/meminfo
while [ ! -d "$qd_path" ] && [ -n "$qd_path" ]; do qd_path=${qd_path%/*}; done
df -Pk -- "${qd_path:-/}" | {
    read -r vitals_head
    read -r vitals_fs vitals_size vitals_used vitals_free vitals_rest
    printf '%s disk %s %s\n' "$qd_mark" "$vitals_size" "$vitals_free"
}
printf '%s done 0\n' "$qd_mark"
