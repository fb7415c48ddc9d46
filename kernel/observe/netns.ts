// Observes a VM's devices in a launcher's network namespace. One child enters it once and runs all tools there,
// instead of one child per question.
import { randomUUID } from 'node:crypto'

import { renderFilterQueries } from '../../core/observe/filters.ts'
import {
  IP_QUERIES,
  parseNetnsAnswer,
  SECTIONS,
  type NetnsObservation,
  type NetnsQuestions,
} from '../../core/observe/netns.ts'
import type { Run } from '../run.ts'

const [IP, TC, MISSING, NFT, OFFLOAD, SYSCTL] = SECTIONS

// "-force" continues after a missing device. The missing ones are printed after the answers, in a section of their own.
const SCRIPT = `
echo "$4${IP}"
ip -j -d -batch - <<END || exit
$1
END
echo "$4${TC}"
exec 3>&1
missing=$(tc -j -force -batch - 2>&1 >&3 <<END
$2
END
)
echo "$4${MISSING}"
echo "$missing"
echo "$4${NFT}"
[ -z "$3" ] || nft -j list table netdev "l2wire-$3" 2>/dev/null
echo "$4${OFFLOAD}"
[ -z "$3" ] || ethtool -k "$3" 2>/dev/null
echo "$4${SYSCTL}"
shift 4
# Not by the shell's "read", which reads byte by byte: the kernel then returns only the first byte.
[ $# = 0 ] || cat "$@" 2>/dev/null
:
`

/** Throws CommandError if the namespace cannot be entered. */
export async function observeNetns(
  run: Run,
  netnsPath: string,
  questions: NetnsQuestions,
): Promise<NetnsObservation> {
  const { hooks, server = '', sysctls } = questions
  const secret = `${randomUUID()} `
  const words = [IP_QUERIES, renderFilterQueries(hooks), server, secret, ...sysctls]
  const enter = ['nsenter', `--net=${netnsPath}`]
  const said = await run([...enter, 'sh', '-c', SCRIPT, 'sh', ...words])
  return parseNetnsAnswer(said, secret, questions)
}
