# In which slot a release runs, and where the next one would be started. Changes nothing.
slot_next=blue
for slot_one in green blue; do
    [ ! "$qd_path/slots/$slot_one" -ef "$qd_path/releases/$qd_release" ] || printf '%s slot %s\n' "$qd_mark" "$slot_one"
done
[ ! "$qd_path/slots/blue" -ef "$qd_path/current" ] || slot_next=green
printf '%s next %s\n%s done 0\n' "$qd_mark" "$slot_next" "$qd_mark"
