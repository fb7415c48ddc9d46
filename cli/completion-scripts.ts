// What each shell must be told so that Tab asks kubectl-l2wire itself. All the knowledge is in
// `kubectl-l2wire __complete WORD…`; these only carry words there and candidates back.

export const SHELLS = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof SHELLS)[number]

const BASH = `# bash completion for kubectl-l2wire: source <(kubectl-l2wire completion bash)
_kubectl_l2wire() {
  local typed=\${COMP_LINE:0:COMP_POINT} own=\${COMP_WORDS[COMP_CWORD]} line words before
  # bash breaks words at "=" and ":" as well: it replaces only what is behind the last of these.
  read -ra words <<<"$typed"
  [[ $typed == *[[:space:]] ]] && words+=('')
  [[ $own == [=:] ]] && own=
  before=\${words[-1]%"$own"}
  COMPREPLY=()
  while IFS= read -r line; do
    case $line in
      :4) ;;
      :0) compopt -o default ;;
      # The description is for shells that show one.
      *) line=\${line%%$'\\t'*}; COMPREPLY+=("$(printf %q "\${line#"$before"}")") ;;
    esac
  done < <("\${words[0]}" __complete "\${words[@]:1}" 2>/dev/null)
}
complete -F _kubectl_l2wire kubectl-l2wire
`

const ZSH = `#compdef kubectl-l2wire
# zsh completion for kubectl-l2wire: source <(kubectl-l2wire completion zsh)
_kubectl_l2wire() {
  local line
  local -a candidates
  for line in "\${(@f)$("\${words[1]}" __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    case $line in
      :4) ;;
      :0) _files ;;
      *$'\\t'*) candidates+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}") ;;
      ?*) candidates+=("\${line//:/\\\\:}") ;;
    esac
  done
  (( \${#candidates} )) && _describe kubectl-l2wire candidates
}
compdef _kubectl_l2wire kubectl-l2wire
`

const FISH = `# fish completion for kubectl-l2wire: kubectl-l2wire completion fish | source
function __kubectl_l2wire
  set -l words (commandline -opc) (commandline -ct)
  for line in ($words[1] __complete $words[2..-1] 2>/dev/null)
    switch $line
      case ':4'
      case ':0'
        __fish_complete_path (commandline -ct)
      case '*'
        printf '%s\\n' $line
    end
  end
end
complete -c kubectl-l2wire -f -a '(__kubectl_l2wire)'
`

export function getScript(shell: Shell): string {
  return { bash: BASH, zsh: ZSH, fish: FISH }[shell]
}
