"""What the shells load to complete `wherry`'s command lines."""

from __future__ import annotations

# Bash splits words at `=` and `:` too, as in --filter=status=exited and busybox:1. So the line is
# split anew, and of a candidate only what comes after the last of them is given.
BASH = r"""# bash completion for wherry
#   source <(wherry completion bash)        for this shell; in ~/.bashrc for all
#   wherry completion bash > /etc/bash_completion.d/wherry
_wherry() {
    local line=${COMP_LINE:0:COMP_POINT} answer head
    local -a words
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    local current=${words[${#words[@]}-1]}
    head=
    [[ $COMP_WORDBREAKS == *:* && $current == *[=:]* ]] && head=${current%"${current##*[=:]}"}
    COMPREPLY=()
    while IFS= read -r answer; do
        case $answer in
            :files) mapfile -t COMPREPLY < <(compgen -f -- "${current#"$head"}")
                compopt -o filenames ;;
            :directories) mapfile -t COMPREPLY < <(compgen -d -- "${current#"$head"}")
                compopt -o filenames ;;
            *) answer=${answer%%$'\t'*}
                [[ $answer == *= ]] && compopt -o nospace
                COMPREPLY+=("${answer#"$head"}") ;;
        esac
    done < <(command "${words[0]}" __complete -- "${words[@]:1}" 2>/dev/null)
}
complete -F _wherry wherry
"""

ZSH = r"""#compdef wherry
# zsh completion for wherry
#   source <(wherry completion zsh)         for this shell, after compinit; in ~/.zshrc for all
#   wherry completion zsh > "${fpath[1]}/_wherry"
_wherry() {
    local answer name
    local -a asked open closed
    asked=("${words[1]}" __complete -- "${(@Q)words[2,CURRENT]}")
    for answer in "${(@f)$(command "${asked[@]}" 2>/dev/null)}"; do
        case $answer in
            '') ;;
            :files) _files ;;
            :directories) _files -/ ;;
            *) name=${${answer%%$'\t'*}//:/\\:}
                [[ $answer == *$'\t'* ]] && name+=":${answer#*$'\t'}"
                if [[ $name == *= ]]; then open+=("$name"); else closed+=("$name"); fi ;;
        esac
    done
    (( $#closed )) && _describe -V wherry closed
    (( $#open )) && _describe -V wherry open -S ''
    return 0
}
if [[ $funcstack[1] == _wherry ]]; then _wherry; else compdef _wherry wherry; fi
"""

FISH = r"""# fish completion for wherry
#   wherry completion fish | source         for this shell
#   wherry completion fish > ~/.config/fish/completions/wherry.fish
function __wherry_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for answer in (command $words[1] __complete -- $words[2..-1] "$current" 2>/dev/null)
        switch $answer
            case :files
                __fish_complete_path "$current"
            case :directories
                __fish_complete_directories "$current"
            case '*'
                echo $answer
        end
    end
end
complete -c wherry -e
complete -c wherry -f -a '(__wherry_complete)'
"""

SCRIPTS = {"bash": BASH, "fish": FISH, "zsh": ZSH}
