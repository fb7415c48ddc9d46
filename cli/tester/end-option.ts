// The option by which a command on a node is told an end.
import type { Command } from 'commander'

import type { AttachmentId } from '../../core/wire/wire.ts'
import { OptionError } from '../option-error.ts'

/** Repeatable. */
export function addEndOption(command: Command): Command {
  return command.option(
    '--end <CONTAINERID@IFNAME>',
    'an end of the wire on this node; may be given twice',
    (text: string, earlier: readonly AttachmentId[]) => [...earlier, decodeEnd(text)],
    [] as readonly AttachmentId[],
  )
}

function decodeEnd(text: string): AttachmentId {
  const [containerID = '', ifname = '', ...more] = text.split('@')
  if (containerID === '' || ifname === '' || more.length > 0)
    throw new OptionError('--end', text, 'CONTAINERID@IFNAME')
  return { containerID, ifname }
}
