# In which slot a release runs. Changes nothing.
for slot_one in blue green; do
    [ "$qd_path/slots/$slot_one" -ef "$qd_path/releases/$qd_release" ] || continue
    printf '%s slot %s\n' "$qd_mark" "$slot_one"
    break
done
printf '%s done 0\n' "$qd_mark"
