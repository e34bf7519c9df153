"""The demo zoo: tiny Wan models in the real file formats, the data they learn from and the programs that judge them."""
