// Watches the kernel from whatever namespace it is started in, and prints a line of JSON for each event.
import { watchKernel } from '../../kernel/monitor.ts'

const print = (what: string, value: unknown): void => {
  process.stdout.write(`${JSON.stringify([what, value])}\n`)
}

const watching = await watchKernel({
  onLink: (event) => print('link', event),
  onFilter: (event) => print('filter', event),
  onTableLoss: () => print('table', undefined),
  onHops: () => print('hops', undefined),
  onGap: (reason) => print('gap', reason),
})
print('ready', process.pid)
process.once('SIGTERM', () => {
  void watching[Symbol.asyncDispose]().then(() => print('stopped', process.pid))
})
