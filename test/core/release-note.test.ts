import { expect } from 'chai'
import { describe, it } from 'mocha'

import { DecodeError } from '../../core/errors.ts'
import {
  decodeReleaseNote,
  isNoteFile,
  toNoteFile,
  toReleasedFolder,
  toReleaseNote,
} from '../../core/release-note.ts'

const ARGS = {
  command: 'DEL',
  containerID: 'c1',
  netns: '',
  ifname: 'eth1',
  args: '',
  path: '',
} as const
const NOTE = {
  version: 1,
  containerID: 'c1',
  ifname: 'eth1',
  network: 'w',
  type: 'l2wire',
  time: '2026-03-04T05:06:07.000Z',
}
const FILE = 'c1@eth1.json'

describe('a release note', () => {
  it('comes back as it was written', () => {
    const config = { name: 'w', type: 'l2wire', mtu: 'big' }
    const note = toReleaseNote(ARGS, config, new Date('2026-03-04T05:06:07Z'))
    expect(note).to.deep.equal(NOTE)
    expect(decodeReleaseNote(JSON.stringify(note), FILE)).to.deep.equal(NOTE)
  })

  it('has its place beside the socket, and the name of its attachment', () => {
    expect(toReleasedFolder('/run/l2wire/agent.sock')).to.equal('/run/l2wire/released')
    expect(toReleasedFolder('/agent.sock')).to.equal('/released')
    expect(toNoteFile(ARGS)).to.equal(FILE)
    expect(isNoteFile(FILE)).to.equal(true)
    for (const file of [`${FILE}.unreadable`, `${FILE}.7.tmp`])
      expect(isNoteFile(file), file).to.equal(false)
  })

  for (const config of [{}, { name: 'w' }, { name: 5, type: 'l2wire' }])
    it(`is not needed for ${JSON.stringify(config)}, which no ADD was of`, () => {
      expect(toReleaseNote(ARGS, config, new Date())).to.equal(undefined)
    })

  const nonsense: readonly { text: string; file?: string; word: string }[] = [
    { text: '', word: 'release note' },
    { text: '{"version":', word: 'release note' },
    { text: '[]', word: 'release note' },
    { text: '{}', word: 'version' },
    { text: JSON.stringify({ ...NOTE, version: 2 }), word: 'it is 2, expected 1' },
    { text: JSON.stringify({ ...NOTE, network: 5 }), word: 'network' },
    { text: JSON.stringify({ ...NOTE, ifname: '' }), word: 'ifname' },
    { text: JSON.stringify({ ...NOTE, type: null }), word: 'type' },
    { text: JSON.stringify({ ...NOTE, time: undefined }), word: 'time' },
    { text: JSON.stringify({ ...NOTE, containerID: '../../etc/x' }), word: '../../etc/x' },
    { text: JSON.stringify(NOTE), file: 'c2@eth1.json', word: 'file name' },
  ]
  for (const { text, file = FILE, word } of nonsense)
    it(`that is ${text} in ${file} is refused`, () => {
      expect(() => decodeReleaseNote(text, file))
        .to.throw(DecodeError)
        .with.property('message')
        .that.includes(word)
    })
})
