gate finish_release finish
finish_answer $?
