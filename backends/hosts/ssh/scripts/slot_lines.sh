# Of a release that runs in a slot: what that slot's instance wrote, where the two can be told apart. Else what both did.
for slot_one in green blue; do
    [ "$qd_path/slots/$slot_one" -ef "$qd_path/releases/$qd_release" ] || continue
    eval "qd_journal=\$qd_journal_$slot_one qd_files=\$qd_files_$slot_one"
    break
done
