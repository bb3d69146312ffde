// Loaded before a program, so that a test can see what an error that nobody caught leaves behind.
process.on("SIGUSR2", () => {
  throw new Error("a bug");
});
