// The Dockerfile of the images as setup/images.sh reads it where no container engine works.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { before, describe, it } from 'mocha'

import { DecodeError } from '../../core/errors.ts'
import {
  getStage,
  parseCopy,
  parseDockerfile,
  readInstalled,
  readStart,
  type Dockerfile,
} from '../../lab/kube/dockerfile.ts'
import { toRoot } from '../../lab/kube/dockerfile-stage.ts'
import { ROOT } from '../../lab/manifests.ts'

describe('a Dockerfile', () => {
  it('is read a stage at a time, with lines that go on and comments between them', () => {
    const text = `# first
ARG IMAGE=debian:x
FROM --platform=$BUILDPLATFORM $IMAGE AS one
RUN a \\
# between
 && b

FROM scratch AS two
COPY --from=one /x /y/
`
    expect(parseDockerfile(text)).to.deep.equal({
      args: { IMAGE: 'debian:x' },
      stages: [
        { name: 'one', base: '$IMAGE', instructions: [{ verb: 'RUN', text: 'a && b' }] },
        {
          name: 'two',
          base: 'scratch',
          instructions: [{ verb: 'COPY', text: '--from=one /x /y/' }],
        },
      ],
    })
  })

  const copies = [
    {
      text: 'LICENSE /l2wire/',
      want: { from: undefined, sources: ['LICENSE'], target: '/l2wire/' },
    },
    {
      text: '--from=build /a /b* /c/',
      want: { from: 'build', sources: ['/a', '/b*'], target: '/c/' },
    },
  ]
  for (const { text, want } of copies)
    it(`copies: ${text}`, () => {
      expect(parseCopy({ verb: 'COPY', text })).to.deep.equal(want)
    })

  const refusals = [
    {
      name: 'a copy with another option',
      act: () => parseCopy({ verb: 'COPY', text: '--chown=1 a b' }),
    },
    { name: 'a copy without a target', act: () => parseCopy({ verb: 'COPY', text: 'a' }) },
    {
      name: 'an installation that does more',
      act: () =>
        readInstalled({ verb: 'RUN', text: 'apt-get update -qq && apt-get install x && y' }, {}),
    },
    { name: 'a stage without a name', act: () => parseDockerfile('FROM scratch\n') },
    { name: 'a stage that is not there', act: () => getStage({ args: {}, stages: [] }, 'agent') },
  ]
  for (const { name, act } of refusals)
    it(`refuses ${name}`, () => {
      expect(act).to.throw(DecodeError)
    })
})

describe("the images' Dockerfile", () => {
  let dockerfile: Dockerfile = { args: {}, stages: [] }

  before(async () => {
    dockerfile = parseDockerfile(await readFile(join(ROOT, 'deploy/images/Dockerfile'), 'utf8'))
  })

  it('says which Debian the images lie on', () => {
    const stage = getStage(dockerfile, 'root')
    const root = toRoot(dockerfile, stage)
    expect(root?.suite).to.equal('bookworm')
    expect(root?.packages).to.include.members(['iproute2', 'nftables', 'libstdc++6'])
  })

  it('says how containers start', () => {
    expect(readStart(getStage(dockerfile, 'agent'))).to.deep.equal({
      entrypoint: ['l2wire-agent'],
      env: {
        PATH: '/l2wire/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        HOME: '/',
      },
    })
    const sidecar = readStart(getStage(dockerfile, 'sidecar'))
    expect(sidecar).to.include({ user: '107:107' })
    expect(sidecar.entrypoint[0]).to.equal('/usr/local/bin/node')
  })

  it('takes of the build what is in the context', async () => {
    const ignore = await readFile(join(ROOT, 'deploy/images/Dockerfile.dockerignore'), 'utf8')
    for (const { instructions } of dockerfile.stages)
      for (const instruction of instructions.filter(({ verb }) => verb === 'COPY')) {
        const { from, sources } = parseCopy(instruction)
        if (from !== undefined) continue
        for (const source of sources.filter((path) => path !== '.'))
          expect(ignore.split('\n')).to.include(`!${source}`)
      }
  })
})
