// What the doctor and a prober on a node say to each other: a line of JSON each way, one request at a time.
import { each, list, number, object, parseJson, text } from '../shape.ts'
import { decodeRefusal, parseLine, type Refusal } from '../tester/station-line.ts'
import type { NodePath } from './path.ts'

/** Datagrams for one way. */
export interface Shot extends NodePath {
  readonly token: number
  readonly sizes: readonly number[]
}

/** What has arrived by now, as nft tells it, and the MTU of the node's own link. */
export interface ProberReport {
  readonly mtuBytes: number
  readonly nft: string
}

const decodeShot = object<Shot>({
  ...each(text, 'from', 'to', 'fromAddress', 'toAddress'),
  ...each(number, 'vni', 'token'),
  sizes: list(number),
})

const decodeReport = object<ProberReport>({ mtuBytes: number, nft: text })

/** Throws DecodeError. */
export function decodeShots(line: string): readonly Shot[] {
  return list(decodeShot)(parseJson(line, 'request', 'a line of JSON'), 'request')
}

/** Throws DecodeError. */
export function decodeProberAnswer(line: string): ProberReport | Refusal {
  const value = parseLine(line, 'answer')
  return (value['ok'] === false ? decodeRefusal : decodeReport)(value, '')
}
