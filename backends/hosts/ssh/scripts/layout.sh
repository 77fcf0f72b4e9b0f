# What lies below the target's path: releases/<release>/, shared/, current -> releases/<release>, .quarterdeck/.

look_at_link() { # sets $current to the release that the link points to, empty: none. No process is started where the link is sound
    current=
    [ -L "$qd_path/current" ] || {
        [ ! -e "$qd_path/current" ] || { refuse damaged "$qd_path/current is not a link"; return 1; }
        return 0
    }
    if cd -P -- "$qd_path/current" 2>/dev/null; then
        current=$PWD
        cd -- "$qd_path" || return 1
    else
        current=$(readlink "$qd_path/current")
    fi
    current=${current%/}
    current=${current##*/}
}

prepare_link() { # release: everything that needs room on the disk, before anything is stopped
    ln -sf "releases/$1" "$control/current.new" || { refuse failed "cannot make the new link"; return 1; }
}

point_link() { # the prepared link replaces the old one by a rename: never absent, never half
    for point_way in -T -h perl python3; do
        case $point_way in
        -*) mv -f "$point_way" "$control/current.new" "$qd_path/current" 2>"$control/.mv" ;;
        perl) have perl && perl -e 'rename $ARGV[0], $ARGV[1] or die "$!\n"' "$control/current.new" "$qd_path/current" ;;
        python3) have python3 && python3 -c 'import os, sys; os.rename(*sys.argv[1:])' "$control/current.new" "$qd_path/current" ;;
        esac && return 0
    done
    cat "$control/.mv" >&2
    refuse failed "cannot rename the new link to $qd_path/current"
}
