// Tab in a real bash: what is typed, what is offered.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { claimEnd } from '../../core/wire.ts'
import { run } from '../../kernel/run.ts'
import { runCommand } from '../../lab/command.ts'
import { ROOT } from '../../lab/manifests.ts'
import { newFileStore } from '../../store/file-store.ts'
import { newClaim } from './wire-store-suite.ts'

/** Loads the script, and has bash complete a line as readline would: words split at bash's own breaks. */
const HARNESS = `
source <(kubectl-l2wire completion bash)
compopt() { files=1; }
offer() {
  COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) files=
  COMP_LINE=$line COMP_POINT=\${#line}
  _kubectl_l2wire 2>&1
  printf '%s\\n' "\${COMPREPLY[@]}" \${files:+FILES}
}
`

const ENV = {
  PATH: `${join(ROOT, 'dist/bin')}:${process.env['PATH']}`,
  PS1: '> ',
  TERM: 'dumb',
}

describe('completion in bash', () => {
  let folder: string
  let store: string

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'l2w-complete-'))
    store = `file://${folder}`
    for (const [namespace, name] of [
      ['default', 'r1-r2'],
      ['default', 'r1-h1'],
      ['lab', 'core'],
    ] as const)
      await newFileStore(folder).update({ namespace, name }, (wire) =>
        claimEnd(wire, { namespace, name }, newClaim('pod/h1')),
      )
  })
  after(async () => {
    await rm(folder, { recursive: true, force: true })
  })

  const offer = async (...words: readonly string[]): Promise<readonly string[]> => {
    const typed = ['kubectl-l2wire', ...words.map((word) => word.replace('STORE', store))]
    const broken = typed.flatMap((word) =>
      word === '' ? [''] : word.split(/([=:]+)/).filter(Boolean),
    )
    const script = `${HARNESS}line='${typed.join(' ')}'; offer ${broken.map((word) => `'${word}'`).join(' ')}`
    const said = await run(['bash', '--norc', '-c', script], { env: ENV })
    return said.split('\n').filter((line) => line !== '')
  }

  it('Tab pressed on a terminal', async () => {
    const keys = [
      'source <(kubectl-l2wire completion bash)',
      `kubectl-l2wire ge\t --store=${store} r1-r\t --output=y\t`,
      `kubectl-l2wire describe --store ${store} r1-h\t -o js\t`,
      'exit',
    ]
    const shell = ['script', '-qec', 'bash --norc --noprofile -i', '/dev/null']
    const screen = await run(shell, { env: ENV, input: `${keys.join('\n')}\n` })
    expect(screen).to.match(/^ {4}name: r1-r2\r$/m)
    expect(screen).to.match(/^ {2}"name": "r1-h1",\r$/m)
  })

  const rows: readonly { words: readonly string[]; want: readonly string[] }[] = [
    {
      words: [''],
      want: ['get', 'describe', 'unplug', 'plug', 'test', 'capture', 'doctor', 'completion'],
    },
    { words: ['de'], want: ['describe'] },
    { words: ['get', '--store', 'STORE', ''], want: ['r1-h1', 'r1-r2'] },
    { words: ['get', '--store', 'STORE', 'r1-r2', ''], want: ['r1-h1'] },
    { words: ['describe', '--store', 'STORE', 'r1-r'], want: ['r1-r2'] },
    { words: ['describe', '--store', 'STORE', '-n', 'lab', ''], want: ['core'] },
    { words: ['describe', '--store', 'STORE', '--namespace=lab', ''], want: ['core'] },
    { words: ['get', '--store', 'STORE', '-n', ''], want: ['default', 'lab'] },
    { words: ['get', '--store=STORE', '--namespace=l'], want: ['lab'] },
    { words: ['get', '-o', ''], want: ['wide', 'json', 'yaml'] },
    { words: ['describe', '--output=y'], want: ['yaml'] },
    { words: ['describe', '--output='], want: ['json', 'yaml'] },
    { words: ['get', '--all'], want: ['--all-namespaces'] },
    { words: ['unplug', '--store', 'STORE', 'r1-h'], want: ['r1-h1'] },
    { words: ['plug', '--wait='], want: ['true', 'false'] },
    { words: ['completion', ''], want: ['bash', 'zsh', 'fish'] },
    { words: ['capture', 'r1-r2', '-w', ''], want: ['FILES'] },
    { words: ['get', '--store', 'file:///nowhere', ''], want: [] },
    { words: ['juggle', ''], want: [] },
  ]
  for (const { words, want } of rows)
    it(`kubectl-l2wire ${words.join(' ')}`, async () => {
      expect(await offer(...words)).to.deep.equal(want)
    })

  it('kubectl asks the same of an executable beside it', async () => {
    const argv = ['describe', '--store', store, 'r1-r']
    const asked = await runCommand('kubectl_complete-l2wire', argv)
    expect(asked.stdout).to.equal('r1-r2\n:4\n')
  })
})
