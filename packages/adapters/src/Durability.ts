/**
 * What a store on disk survives.
 *
 * @since 0.1.0
 */

/**
 * The levels, the most durable first.
 *
 * @category constants
 * @since 0.1.0
 */
export const levels = ["full", "batch", "process"] as const

/**
 * How durable a change is when it is done.
 *
 * **Details**
 *
 * At every level a change happens as a whole or not at all, whichever process is killed. No list of images and no ref is
 * made durable without the blobs that it names.
 *
 * - `full`, the default: it survives a power cut. Each blob is made durable as it is written.
 * - `batch`: the same, with all blobs of an image made durable together, right before they are shown. Faster with many small blobs.
 * - `process`: it survives the death of the process, not that of the machine. For tests, and for stores that are made again
 *   when they are lost.
 *
 * @category models
 * @since 0.1.0
 */
export type Durability = (typeof levels)[number]
