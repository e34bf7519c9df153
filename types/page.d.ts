// The page that the browser tests look into; there it is ComfyUI's own untyped code.
interface Window {
  app: any;
  LiteGraph: any;
}
