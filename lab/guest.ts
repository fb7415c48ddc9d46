// A shell in the guest, by requests over the virtio port that guest-init.sh answers: one at a time, in order.
// The port is binary, and nothing else uses it.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

const COPY_MS = 120_000

/** The virtio port's name; the domain offers it as a unix channel. */
export const GUEST_PORT_NAME = 'l2wire.guest.0'

export interface Answer {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface GuestNic {
  readonly name: string
  readonly mac: string
  /** The guest's network as it was told, or as it set itself. */
  readonly mtu: number
}

export interface Guest extends AsyncDisposable {
  /** Runs a shell script; the guest kills it after timeoutMs (default 60,000), which gives code 137. */
  exec(script: string, options?: { readonly timeoutMs?: number }): Promise<Answer>
  /** exec(), but any exit code other than 0 throws. Returns standard output. */
  run(script: string, options?: { readonly timeoutMs?: number }): Promise<string>
  put(path: string, bytes: Uint8Array): Promise<void>
  get(path: string): Promise<Uint8Array>
  nics(): Promise<readonly GuestNic[]>
  /** The NIC with this MAC; throws when there is none. */
  nicByMac(mac: string): Promise<GuestNic>
  /** Leaves the guest running and free for the next caller. */
  close(): void
}

/** Resolves when the guest answers, which may still be booting. The socket itself must exist. */
export async function connectGuest(
  socketPath: string,
  options: { readonly timeoutMs?: number } = {},
): Promise<Guest> {
  const socket = connect(socketPath)
  await once(socket, 'connect')
  const port = new Port(socket, socketPath)
  const guest = newGuest({
    run: async (script, timeoutMs) => {
      const body = Buffer.from(`${script}\n`)
      const limit = Math.ceil(timeoutMs / 1000)
      // The guest's own limit ends first, so that a slow command does not cost the connection.
      return port.ask(`run ${body.length} ${limit}\n`, body, timeoutMs + 10_000)
    },
    put: async (path, bytes, timeoutMs) =>
      port.ask(`put ${bytes.length} ${path}\n`, bytes, timeoutMs),
    close: () => port.close(),
  })
  try {
    await guest.run('true', { timeoutMs: options.timeoutMs ?? 180_000 })
    return guest
  } catch (error) {
    guest.close()
    throw error
  }
}

/** The connection to a guest. */
export interface GuestShell {
  /** Runs a script, which the guest kills after timeoutMs: code 137. */
  readonly run: (script: string, timeoutMs: number) => Promise<RawAnswer>
  /** The file has at least one byte, and its path no white space. */
  readonly put: (path: string, bytes: Uint8Array, timeoutMs: number) => Promise<RawAnswer>
  readonly close: () => void
}

export function newGuest(shell: GuestShell): Guest {
  const guest: Guest = {
    async exec(script, { timeoutMs = 60_000 } = {}) {
      const answer = await shell.run(script, timeoutMs)
      return { ...answer, stdout: answer.stdout.toString('utf8') }
    },
    async run(script, options) {
      const answer = await guest.exec(script, options)
      if (answer.code === 0) return answer.stdout
      throw newGuestError(script, answer)
    },
    async put(path, bytes) {
      // A request of no bytes has no body.
      if (bytes.length === 0) {
        await guest.run(`: >${quote(path)}`)
        return
      }
      if (/\s/.test(path))
        throw new TypeError(`Cannot put "${path}" into the guest: white space in it`)
      const answer = await shell.put(path, bytes, COPY_MS)
      if (answer.code !== 0) throw newGuestError(`put ${path}`, answer)
    },
    async get(path) {
      const answer = await shell.run(`cat ${quote(path)}`, COPY_MS)
      if (answer.code !== 0) throw newGuestError(`get ${path}`, answer)
      return answer.stdout
    },
    async nics() {
      const listed = await guest.run(
        'cd /sys/class/net; for n in *; do echo "$n $(cat "$n/address") $(cat "$n/mtu")"; done',
      )
      const rows = listed.trim().split('\n')
      return rows
        .map((row) => row.split(' '))
        .filter(([name]) => name !== 'lo')
        .map(([name = '', mac = '', mtu = '']) => ({ name, mac, mtu: Number(mtu) }))
    },
    async nicByMac(mac) {
      const nics = await guest.nics()
      const found = nics.find((nic) => nic.mac === mac.toLowerCase())
      if (found !== undefined) return found
      const present = nics.map((nic) => `${nic.name} ${nic.mac}`).join(', ')
      throw new Error(
        `Cannot find a guest NIC with MAC "${mac}": the guest has ${present || 'none'}`,
      )
    },
    close: () => shell.close(),
    [Symbol.asyncDispose]: () => Promise.resolve(shell.close()),
  }
  return guest
}

export interface RawAnswer {
  readonly code: number
  readonly stdout: Buffer<ArrayBuffer>
  readonly stderr: string
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

function newGuestError(what: string, answer: { code: number; stderr: string }): Error {
  const said = answer.stderr.trim()
  return new Error(
    `Cannot run "${what}" in the guest: exit code ${answer.code}${said === '' ? '' : `: ${said}`}`,
  )
}

/** Requests and answers on one stream, in order. */
class Port {
  readonly #socket: Socket
  readonly #label: string
  #received: Buffer[] = []
  #turn: Promise<unknown> = Promise.resolve()
  #fault: Error | undefined
  #wake: (() => void) | undefined

  constructor(socket: Socket, label: string) {
    this.#socket = socket
    this.#label = label
    socket.on('data', (chunk: Buffer) => {
      this.#received.push(chunk)
      this.#wake?.()
    })
    socket.on('error', (error) => this.#fail(error.message))
    socket.on('close', () => this.#fail('connection closed'))
  }

  async ask(header: string, body: Uint8Array, timeoutMs: number): Promise<RawAnswer> {
    const answered = this.#turn.then(async () => {
      if (this.#fault !== undefined) throw this.#fault
      const timer = setTimeout(() => {
        // A later answer would count as the answer to the next request.
        this.#fail(`no answer within ${timeoutMs} ms`)
        this.#socket.destroy()
      }, timeoutMs)
      try {
        this.#socket.write(header)
        this.#socket.write(body)
        return await this.#readAnswer()
      } finally {
        clearTimeout(timer)
      }
    })
    this.#turn = answered.catch(() => undefined)
    return answered
  }

  close(): void {
    this.#fail('closed by us')
    this.#socket.destroy()
  }

  async #readAnswer(): Promise<RawAnswer> {
    for (;;) {
      const bytes = Buffer.concat(this.#received)
      this.#received = [bytes]
      const newline = bytes.indexOf('\n')
      const words = bytes.toString('latin1', 0, Math.max(newline, 0)).split(' ').map(Number)
      const [code = 0, stdoutBytes = 0, stderrBytes = 0] = words
      const end = newline + 1 + stdoutBytes + stderrBytes
      if (newline !== -1 && bytes.length >= end) {
        this.#received = [bytes.subarray(end)]
        const stdout = Buffer.from(bytes.subarray(newline + 1, end - stderrBytes))
        return { code, stdout, stderr: bytes.toString('utf8', end - stderrBytes, end) }
      }
      if (this.#fault !== undefined) throw this.#fault
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  #fail(reason: string): void {
    this.#fault ??= new Error(`Cannot talk to the guest at "${this.#label}": ${reason}`)
    this.#wake?.()
  }
}
