/**
 * Progress as it is shown on stderr: on a terminal a line that is written over while the work goes on, elsewhere a line
 * when it is done. Work on bytes tells how many there were, and how many a second.
 *
 * @since 0.1.0
 */
import * as Progress from "@effect-oci/core/Progress"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import process from "node:process"
import * as Table from "./Table.ts"
import * as Terminal from "./Terminal.ts"

const outcome = (status: Progress.Status): string =>
  status.error === undefined
    ? status.cached === true ? "from the cache" : "done"
    : status.error === "interrupted"
    ? "interrupted"
    : "failed"

const amount = ({ current, total }: Progress.Status): string =>
  current === undefined ? "" : ` ${Table.size(current)}${total === undefined ? "" : ` of ${Table.size(total)}`}`

/** Bytes and milliseconds before a speed says anything. */
const least = { bytes: 1024 * 1024, time: 100 }

const speed = ({ current = 0, started }: Progress.Status, now: number): string =>
  current < least.bytes || now - started < least.time
    ? ""
    : ` ${Table.size(Math.round(current * 1000 / (now - started)))}/s`

/** How far work had come when it was done: its last status says only that it is. */
const ended = (status: Progress.Status, running: Progress.Status | undefined): Progress.Status =>
  status.error === undefined && running !== undefined ? { ...running, ...status } : status

/** A view takes each event, and the time, in milliseconds, as it passes. */
interface View {
  readonly update: (status: Progress.Status) => void
  readonly tick: (now: number) => void
}

/** Milliseconds after which work that goes on tells so again, where lines stay. */
const patience = 10_000

const plain = (stream: NodeJS.WriteStream): View => {
  const running = new Map<string, { readonly status: Progress.Status; readonly told: number }>()
  const write = (status: Progress.Status, now: number, how: string) =>
    stream.write(`${Terminal.printable(status.id)} ...${amount(status)}${speed(status, now)}${how}\n`)
  return {
    update: (status) => {
      if (status.completed === undefined) {
        running.set(status.id, { status, told: running.get(status.id)?.told ?? status.started })
      } else {
        const whole = ended(status, running.get(status.id)?.status)
        write(whole, status.completed, ` ${outcome(whole)}`)
        running.delete(status.id)
      }
    },
    tick: (now) => {
      for (const [id, { status, told }] of running) {
        if (now - told < patience) continue
        running.set(id, { status, told: now })
        write(status, now, "")
      }
    }
  }
}

/** As many of the parts as there is room for; a number is not cut in two. */
const fitting = ([first = "", ...parts]: ReadonlyArray<string>, room: number): string =>
  parts.reduce((line, part) => line.length + part.length > room ? line : line + part, first.slice(0, room))

const eraseLine = "\r\x1b[K"

const live = (stream: NodeJS.WriteStream): View => {
  const running = new Map<string, Progress.Status>()
  const colors = Terminal.hasColors(stream)
  const style = (code: string, text: string) => colors ? `\x1b[${code}m${text}\x1b[0m` : text
  const seconds = (status: Progress.Status, now: number) => `${((now - status.started) / 1000).toFixed(1)} s`
  const parts = (status: Progress.Status, now: number) => [
    `${Terminal.printable(status.id)} ...`,
    amount(status),
    speed(status, now),
    ` ${seconds(status, now)}`
  ]
  const draw = (now: number): string => {
    const status = Array.from(running.values()).at(-1)
    if (status === undefined) return ""
    const more = running.size === 1 ? "" : `, ${running.size - 1} more`
    // A line that wraps could not be written over, nor one that does with the ^C that a terminal adds
    return style("2", fitting([...parts(status, now), more], Math.max(0, (stream.columns || 80) - 3)))
  }
  let clock = 0
  return {
    update: (status) => {
      const now = clock = Math.max(clock, status.completed ?? status.started)
      const whole = ended(status, running.get(status.id))
      if (status.completed === undefined) running.set(status.id, status)
      else running.delete(status.id)
      const done = status.completed === undefined
        ? ""
        : `${parts(whole, now).join("")} ${style(status.error === undefined ? "32" : "31", outcome(whole))}\n`
      stream.write(eraseLine + done + draw(now))
    },
    tick: (now) => {
      clock = now
      if (running.size > 0) stream.write(eraseLine + draw(now))
    }
  }
}

/**
 * Shows the progress of an effect while it runs. What has happened is shown when it ends, however it ends.
 *
 * @category combinators
 * @since 0.1.0
 */
export const show = <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Progress.watch(work, (events) => {
    const view = Terminal.canRewrite(process.stderr) ? live(process.stderr) : plain(process.stderr)
    const ticks = Stream.mapEffect(Stream.tick("100 millis"), () => Clock.currentTimeMillis)
    return Stream.runForEach(
      Stream.merge(events, ticks, { haltStrategy: "left" }),
      (event) => Effect.sync(() => typeof event === "number" ? view.tick(event) : view.update(event))
    )
  })
