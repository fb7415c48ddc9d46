// A station is where the cable tester plugs in: one NIC, in a network namespace or inside a guest.
// The tester decides with data (core/tester); a station only sends frames and says what arrived.

/** A capture that is running. Frames the station itself sent are not in it. */
export interface Capture extends AsyncDisposable {
  /** Ends the capture and returns the frames that arrived, whole and in order. Idempotent. */
  stop(): Promise<readonly Uint8Array[]>
}

export interface Station {
  /** For people: "A:eth1". */
  readonly label: string
  /** The NIC's own MAC, "02:00:00:00:00:01", and its MTU as it is now. */
  readNic(): Promise<{ readonly mac: string; readonly mtuBytes: number; readonly isUp: boolean }>
  /** Resolves when the capture sees everything from now on. */
  startCapture(): Promise<Capture>
  /** Sends each frame once, in order, as it is (from the destination MAC on, without FCS). */
  send(frames: readonly Uint8Array[]): Promise<void>
}
