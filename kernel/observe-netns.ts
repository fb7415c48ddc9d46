// Looks at a VM's devices in a launcher's network namespace: one child, which enters it once and asks the
// tools there, instead of a child for each question.
import {
  IP_QUERIES,
  parseNetnsAnswer,
  renderHookQueries,
  SECTIONS,
  type NetnsObservation,
  type NetnsQuestions,
} from '../core/netns-observation.ts'
import type { Run } from './run.ts'

const [IP, TC, MISSING, NFT, SYSCTL] = SECTIONS

// "-force" goes on behind a device that is missing: which are is told apart from the answers, and after them.
const SCRIPT = `
echo '${IP}'
ip -j -d -batch - <<END || exit
$1
END
echo '${TC}'
exec 3>&1
missing=$(tc -j -force -batch - 2>&1 >&3 <<END
$2
END
)
echo '${MISSING}'
echo "$missing"
echo '${NFT}'
[ -z "$3" ] || nft -j list table netdev "l2wire-$3" 2>/dev/null
echo '${SYSCTL}'
shift 3
# Not by the shell's "read": byte by byte the kernel tells no more than the first.
[ $# = 0 ] || cat "$@" 2>/dev/null
:
`

/** Throws CommandError when the namespace cannot be entered. */
export async function observeNetns(
  run: Run,
  netnsPath: string,
  questions: NetnsQuestions,
): Promise<NetnsObservation> {
  const { hooks, server = '', sysctls } = questions
  const words = [IP_QUERIES, renderHookQueries(hooks), server, ...sysctls]
  const enter = ['nsenter', `--net=${netnsPath}`]
  return parseNetnsAnswer(await run([...enter, 'sh', '-c', SCRIPT, 'sh', ...words]), questions)
}
