import { expect } from 'chai'
import { describe, it } from 'mocha'

import {
  decodeNote,
  readNoteFile,
  toNoteFile,
  toReleasedFolder,
} from '../../../core/attach/release-note.ts'
import { CONFIG_BYTES_MAX, renderLine } from '../../../core/cni/protocol.ts'
import { DecodeError, renderCauses } from '../../../core/errors.ts'

const ID = { containerID: 'c1', ifname: 'eth1' }
const ARGS = { command: 'DEL', ...ID, netns: '/run/netns/x', args: 'A=b', path: '/bin' }
const CONFIG = { cniVersion: '1.1.0', name: 'w', type: 'l2wire' }
const REQUEST = { protocol: 1, args: ARGS, config: CONFIG }
const FILE = 'c1@eth1.json'
/** As 0.3.0 wrote it. */
const OLD = { version: 1, ...ID, network: 'w', type: 'l2wire', time: '2026-03-04T05:06:07.000Z' }

describe('a release note', () => {
  it('is the request', () => {
    expect(decodeNote(renderLine(REQUEST), FILE)).to.deep.equal(REQUEST)
  })

  it('has its place beside the socket, and the name of its attachment', () => {
    expect(toReleasedFolder('/run/l2wire/agent.sock')).to.equal('/run/l2wire/released')
    expect(toReleasedFolder('/agent.sock')).to.equal('/released')
    expect(toNoteFile(ID)).to.equal(FILE)
    expect(readNoteFile(FILE)).to.deep.equal({ containerID: 'c1', ifname: 'eth1' })
    for (const file of [`${FILE}.unreadable`, `${FILE}.7.tmp`])
      expect(readNoteFile(file), file).to.equal(undefined)
  })

  for (const [note, config] of [
    [OLD, { name: 'w', type: 'l2wire' }],
    [{ ...OLD, network: undefined, type: undefined }, {}],
  ] as const)
    it(`of 0.3.0 is a request: ${JSON.stringify(note)}`, () => {
      const request = decodeNote(`${JSON.stringify(note, undefined, 2)}\n`, FILE)
      expect(request.args).to.include({ command: 'DEL', ...ID, netns: '', args: '' })
      expect(request.config).to.deep.equal(config)
    })

  const toRequest = (more: object): string => renderLine({ ...REQUEST, args: { ...ARGS, ...more } })
  const nonsense: readonly { text: string; file?: string; word: string }[] = [
    { text: '', word: 'JSON' },
    { text: '{"protocol":', word: 'JSON' },
    { text: '[]', word: 'a JSON object' },
    { text: '{}', word: '"protocol": it is missing, expected 1' },
    { text: renderLine({ ...OLD, version: 2 }), word: 'expected 1' },
    { text: renderLine({ ...OLD, ifname: '' }), word: 'CNI_IFNAME' },
    { text: renderLine({ ...OLD, containerID: '../../etc/x' }), word: '../../etc/x' },
    { text: renderLine(OLD), file: 'c2@eth1.json', word: 'file name' },
    { text: renderLine(REQUEST), file: 'c2@eth1.json', word: 'file name' },
    { text: toRequest({ command: 'ADD' }), word: 'expected DEL' },
    { text: toRequest({ containerID: '../../etc/x' }), word: '../../etc/x' },
    {
      text: renderLine({ ...REQUEST, config: { x: 'x'.repeat(CONFIG_BYTES_MAX) } }),
      word: 'at most 65536',
    },
  ]
  for (const { text, file = FILE, word } of nonsense)
    it(`that is ${text.slice(0, 120)} in ${file} is refused`, () => {
      expect(() => decodeNote(text, file))
        .to.throw(DecodeError)
        .that.satisfies((error: Error) => renderCauses(error).includes(word), word)
    })
})
