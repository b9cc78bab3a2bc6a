import { bundle } from "/work/main/packages/cli/build.ts"
await bundle("/work/main/packages/adapters/test/fixtures/tag.ts", "/dev/shm/bt")
