// An error whose message says all that the user needs: its cause is not printed.
export class CliError extends Error {
  override readonly name = 'CliError'
}
