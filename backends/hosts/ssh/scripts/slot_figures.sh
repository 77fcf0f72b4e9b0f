# Those of the instance in the release's slot.
slot_unit=
for slot_one in green blue; do
    [ ! "$qd_path/slots/$slot_one" -ef "$qd_path/releases/$qd_release" ] || slot_unit=${qd_unit%@.*}@$slot_one.${qd_unit##*@.}
done
if [ -n "$slot_unit" ]; then
    qd_unit=$slot_unit
else
    printf '%s no-slot\n%s done 1\n' "$qd_mark" "$qd_mark"
    exit 1
fi
